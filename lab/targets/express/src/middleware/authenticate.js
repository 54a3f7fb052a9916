import { createSecretKey } from 'node:crypto'
import jwt from 'jsonwebtoken'
import { z } from 'zod'

const claims = z.object({ sub: z.string().min(1).max(64), exp: z.number() })

export function authenticate(secret) {
  // As text, jsonwebtoken would find out for each token what kind of key it is.
  const key = createSecretKey(Buffer.from(secret))
  return (req, res, next) => {
    const [, token] = /^Bearer (\S+)$/i.exec(req.get('authorization') ?? '') ?? []
    try {
      req.user = claims.parse(jwt.verify(token, key, { algorithms: ['HS256'] }))
    } catch {
      return res.status(401).set('WWW-Authenticate', 'Bearer').json({ error: 'Unauthorized' })
    }
    next()
  }
}
