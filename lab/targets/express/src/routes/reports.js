import { Router } from 'express'
import { z } from 'zod'
import { validate, wholeNumber } from '../middleware/validate.js'

const REPORT_OF = 32
const KEPT_S = 60

const fibonacci = (n) => (n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2))
const report = () => ({ answer: fibonacci(REPORT_OF), made_at: new Date().toISOString() })

export function reports(cache) {
  const router = Router()

  router.get('/compute', validate('query', z.object({ n: wholeNumber(0, 40) })), (req, res) => {
    const { n } = req.valid.query
    res.json({ n, fibonacci: fibonacci(n) })
  })

  router.get('/cache', async (req, res) => {
    res.json(await cache.remember('express:report', KEPT_S, report))
  })

  return router
}
