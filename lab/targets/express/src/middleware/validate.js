import { z } from 'zod'

// Checks `req.query`, `req.body` or `req.params`; what comes out is in `req.valid`, since `req.query` cannot be set.
export const validate = (part, schema) => (req, res, next) => {
  const result = schema.safeParse(req[part])
  if (!result.success) {
    return res.status(400).json({ error: 'Bad Request', details: z.flattenError(result.error) })
  }
  req.valid = { ...req.valid, [part]: result.data }
  next()
}

// A whole number as it stands in a query.
export const wholeNumber = (least, most) => z.string().regex(/^\d{1,9}$/).transform(Number).pipe(z.number().min(least).max(most))

// Characters, not UTF-16 units as `max` counts; without NUL, which PostgreSQL refuses, and halves of pairs.
export const text = (least, most) => z.string().regex(new RegExp(`^[^\\0\\p{Cs}]{${least},${most}}$`, 'u'))
