import plugin from 'fastify-plugin'

// `app.cache.remember(key, seconds, make)`: what is kept under the key, or else what is made now.
export default plugin(async (app, { kind, redisUrl }) => {
  if (kind === 'redis') {
    const { Redis } = await import('ioredis')
    const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1, connectTimeout: 1000 })
    // Without a listener every lost connection would be printed with its stack.
    redis.on('error', (error) => console.error(`Redis: ${error.message}`))
    app.decorate('cache', inRedis(redis))
    app.addHook('onClose', () => redis.disconnect())
  } else {
    app.decorate('cache', kind === 'memory' ? inMemory() : { remember: (key, seconds, make) => make() })
  }
})

function inRedis(redis) {
  return {
    async remember(key, seconds, make) {
      const kept = await redis.get(key)
      if (kept !== null) return JSON.parse(kept)
      const value = make()
      await redis.set(key, JSON.stringify(value), 'EX', seconds)
      return value
    }
  }
}

function inMemory() {
  const entries = new Map()
  return {
    remember(key, seconds, make) {
      const kept = entries.get(key)
      if (kept !== undefined && kept.until > Date.now()) return kept.value
      const value = make()
      entries.set(key, { value, until: Date.now() + seconds * 1000 })
      return value
    }
  }
}
