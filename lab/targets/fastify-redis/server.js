// Notes over PostgreSQL with Redis in front (cache-aside), tokens verified with a cache, limits counted in Redis: Fastify and
// its own plugins, a process per core.
import cluster from 'node:cluster'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import Fastify from 'fastify'
import etag from '@fastify/etag'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import { Redis } from 'ioredis'
import pg from 'pg'

const ROW_S = 60
const LIST_S = 10
const FIELDS = 'p.id, p.author_id, p.title, p.body, p.published, p.created_at, p.updated_at'
const AUTHOR = `json_build_object('id', u.id, 'display_name', u.display_name, 'created_at', u.created_at) as author`

// The same key in every process: Ed25519 from the run's secret (RFC 8410's head, then the seed).
const seed = Buffer.from(process.env.SECRET, 'hex')
const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
const secret = {
  private: key.export({ format: 'pem', type: 'pkcs8' }),
  public: createPublicKey(key).export({ format: 'pem', type: 'spki' })
}

const text = { type: 'string' }
const query = {
  type: 'object',
  properties: {
    published: { const: 'true' },
    sort: { const: '-created_at' },
    limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
    include: { const: 'author' }
  },
  required: ['published', 'sort'],
  additionalProperties: false
}
const logIn = { type: 'object', properties: { email: text, password: text }, required: ['email', 'password'] }

const workers = Number(process.env.WORKERS)
if (cluster.isPrimary && workers > 1) {
  for (let n = 0; n < workers; n += 1) cluster.fork()
} else {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 16 })
  // Commands of one turn of the event loop go out together.
  const redis = new Redis(process.env.REDIS_URL, {
    enableAutoPipelining: true,
    connectTimeout: 500,
    maxRetriesPerRequest: 1
  })

  const app = Fastify({ logger: false })
  await app.register(jwt, {
    secret,
    sign: { algorithm: 'EdDSA', expiresIn: '15m' },
    verify: { algorithms: ['EdDSA'], cache: 10000 }
  })
  await app.register(etag)
  await app.register(rateLimit, { global: false, redis, timeWindow: '1 hour' })
  const ofAddress = app.createRateLimit({ max: 36_000_000, keyGenerator: (request) => `address:${request.ip}` })
  const ofUser = app.createRateLimit({
    max: Number(process.env.USER_BUDGET),
    keyGenerator: (request) => `user:${request.user.sub}`
  })
  const verified = { onRequest: (request) => request.jwtVerify() }

  const json = (reply, body) => {
    reply.type('application/json; charset=utf-8')
    return body
  }

  app.get('/api/health', (request, reply) => {
    reply.type('text/plain; charset=utf-8').send('ok')
  })

  // A token for whoever asks: what a log-in costs is another row's matter.
  app.post('/api/v1/auth/login', { schema: { body: logIn } }, async (request) => ({
    access_token: app.jwt.sign({ sub: request.body.email })
  }))

  const one = `select ${FIELDS} from posts p where id = $1 and published`
  app.get('/api/v1/notes/:id', verified, async (request, reply) => {
    const name = `note:${request.params.id}`
    const kept = await redis.get(name)
    if (kept !== null) return json(reply, kept)
    const { rows } = await pool.query({ name: 'note', text: one, values: [request.params.id] })
    if (rows.length === 0) return reply.code(404).send({ title: 'Not found' })
    const body = JSON.stringify(rows[0])
    await redis.set(name, body, 'EX', ROW_S)
    return json(reply, body)
  })

  const page = `select ${FIELDS} from posts p where published order by created_at desc limit $1`
  const pageWithAuthors = `select ${FIELDS}, ${AUTHOR} from posts p join users u on u.id = p.author_id
    where published order by p.created_at desc limit $1`
  app.get('/api/v1/notes', { ...verified, schema: { querystring: query } }, async (request, reply) => {
    const { limit, include } = request.query
    const name = `notes:${limit}:${include ?? ''}`
    const kept = await redis.get(name)
    if (kept !== null) return json(reply, kept)
    const { rows } = await pool.query({
      name: include ? 'notes-authors' : 'notes',
      text: include ? pageWithAuthors : page,
      values: [limit + 1]
    })
    const items = rows.slice(0, limit)
    const body = JSON.stringify({ items, next_cursor: rows.length > limit ? items[limit - 1].id : null })
    await redis.set(name, body, 'EX', LIST_S)
    return json(reply, body)
  })

  app.get('/api/caller', verified, async (request, reply) => {
    const limits = await Promise.all([ofAddress(request), ofUser(request)])
    reply.type('text/plain; charset=utf-8')
    if (limits.some((limit) => limit.isExceeded)) return reply.code(429).send('too many')
    return 'ok'
  })

  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
}
