import { randomInt } from 'node:crypto'
import { Router } from 'express'
import { needs } from '../middleware/database.js'

const QUOTES = 1000

export function quotes(db) {
  const router = Router()

  router.get('/db', needs(db), async (req, res) => {
    const quote = await db('quotes').where({ id: randomInt(1, QUOTES + 1) }).first('id', 'words', 'author')
    res.json(quote)
  })

  return router
}
