import { createClient } from 'redis'

// Every kind has `remember(key, seconds, make)`: what is kept under the key, or else what is made now.
export async function createCache({ cache, redisUrl }) {
  switch (cache) {
    case 'redis':
      return inRedis(redisUrl)
    case 'memory':
      return inMemory()
    default:
      return { remember: async (key, seconds, make) => make(), close: async () => {} }
  }
}

function inMemory() {
  const entries = new Map()
  return {
    async remember(key, seconds, make) {
      const kept = entries.get(key)
      if (kept !== undefined && kept.until > Date.now()) return kept.value
      const value = make()
      entries.set(key, { value, until: Date.now() + seconds * 1000 })
      return value
    },
    async close() {
      entries.clear()
    }
  }
}

async function inRedis(url) {
  const client = createClient({ url })
  // Without a listener an error would end the process; the client connects again by itself.
  client.on('error', (error) => console.error(`Redis: ${error.message}`))
  await client.connect()
  return {
    async remember(key, seconds, make) {
      const kept = await client.get(key)
      if (kept !== null) return JSON.parse(kept)
      const value = make()
      await client.setEx(key, seconds, JSON.stringify(value))
      return value
    },
    close: () => client.close()
  }
}
