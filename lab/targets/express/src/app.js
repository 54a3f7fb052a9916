import compression from 'compression'
import express from 'express'
import helmet from 'helmet'
import { authenticate } from './middleware/authenticate.js'
import { handleError, notFound } from './middleware/errors.js'
import { onlyGzip } from './middleware/only-gzip.js'
import { posts } from './routes/posts.js'
import { quotes } from './routes/quotes.js'
import { reports } from './routes/reports.js'
import { system } from './routes/system.js'

export function createApp({ config, db, cache }) {
  const app = express()
  app.use(helmet())
  if (config.gzip) {
    app.use(onlyGzip, compression({ threshold: 1024, level: 6 }))
  }

  app.use(system())
  app.use('/api', reports(cache))
  app.use('/api', quotes(db))
  app.use('/api/v1/posts', authenticate(config.tokenSecret), posts(db))

  app.use(notFound)
  app.use(handleError)
  return app
}
