import { Router } from 'express'
import { collectDefaultMetrics, register } from 'prom-client'

export function system() {
  collectDefaultMetrics()
  const router = Router()

  router.get('/api/health', (req, res) => {
    res.type('text/plain').send('ok')
  })

  router.get('/metrics', async (req, res) => {
    res.set('Content-Type', register.contentType).send(await register.metrics())
  })

  return router
}
