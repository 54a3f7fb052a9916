import compress from '@fastify/compress'
import Fastify from 'fastify'
import { handleError } from './errors.js'
import auth from './plugins/auth.js'
import cache from './plugins/cache.js'
import database from './plugins/database.js'
import validation from './plugins/validation.js'
import posts from './routes/posts.js'
import quotes from './routes/quotes.js'
import reports from './routes/reports.js'
import system from './routes/system.js'

export async function build(config) {
  const app = Fastify({
    logger: false,
    // Sessions of HTTP/2 stay open for as long as their clients like, and closing would wait for them.
    ...(config.http2 && { http2: true, forceCloseConnections: true })
  })
  app.setErrorHandler(handleError)
  if (config.gzip) {
    await app.register(compress, {
      threshold: 1024,
      encodings: ['gzip'],
      zlibOptions: { level: 6 },
      globalDecompression: false
    })
  }
  await app.register(validation)
  await app.register(auth, { secret: config.tokenSecret })
  await app.register(cache, { kind: config.cache, redisUrl: config.redisUrl })
  await app.register(database, { url: config.databaseUrl, poolSize: config.poolSize })

  await app.register(system)
  await app.register(reports, { prefix: '/api' })
  if (config.databaseUrl) {
    await app.register(quotes, { prefix: '/api' })
    await app.register(posts, { prefix: '/api/v1/posts' })
  }
  return app
}
