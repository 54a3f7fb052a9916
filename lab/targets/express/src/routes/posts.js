import express, { Router } from 'express'
import { z } from 'zod'
import { needs } from '../middleware/database.js'
import { notFound } from '../middleware/errors.js'
import { text, validate, wholeNumber } from '../middleware/validate.js'
import { Posts } from '../models/post.js'

const newPost = z.object({ title: text(1, 200), body: text(0, 10_000), published: z.boolean().default(false) })
const page = z.object({ limit: wholeNumber(1, 100).default(20) })
const one = z.object({ id: text(1, 64) })

export function posts(db) {
  const router = Router()
  const all = new Posts(db)
  router.use(needs(db))

  router.get('/', validate('query', page), async (req, res) => {
    res.json({ items: await all.newestPublished(req.valid.query.limit) })
  })

  router.get('/:id', validate('params', one), async (req, res) => {
    const post = await all.find(req.valid.params.id)
    if (!post) return notFound(req, res)
    res.json(post)
  })

  // 10,000 characters may take twelve bytes each in JSON, beyond the parser's usual 100 kB.
  router.post('/', express.json({ limit: '256kb' }), validate('body', newPost), async (req, res) => {
    const post = await all.create({ authorId: req.user.sub, ...req.valid.body })
    res.status(201).json(post)
  })

  return router
}
