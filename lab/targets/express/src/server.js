import cluster from 'node:cluster'
import { createApp } from './app.js'
import { createCache } from './cache.js'
import { supervise } from './cluster.js'
import { config } from './config.js'
import { connect } from './database.js'

// Beyond this nobody waits for open requests: a supervisor would kill the process anyway.
const CLOSE_WITHIN_MS = 8_000

async function serve() {
  const db = config.databaseUrl ? connect(config.databaseUrl, config.poolSize) : undefined
  const cache = await createCache(config)
  const app = createApp({ config, db, cache })

  const server = app.listen(config.port, config.host, (error) => {
    if (error) throw error
  })
  // Longer than the proxy in front keeps a connection idle, so that it is never the server that hangs up first.
  server.keepAliveTimeout = 65_000

  let isClosing = false
  const close = () => {
    if (isClosing) return
    isClosing = true
    setTimeout(() => server.closeAllConnections(), CLOSE_WITHIN_MS).unref()
    server.close(async () => {
      await Promise.allSettled([db?.destroy(), cache.close()])
      process.exit(0)
    })
  }
  process.on('SIGTERM', close)
  process.on('SIGINT', close)
}

if (cluster.isPrimary && config.workers > 1) {
  supervise(config.workers)
} else {
  await serve()
}
