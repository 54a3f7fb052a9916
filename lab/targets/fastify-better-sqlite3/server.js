// Posts over SQLite with Fastify and better-sqlite3: prepared statements, schemas for the answers, a process per core.
import cluster from 'node:cluster'
import Database from 'better-sqlite3'
import Fastify from 'fastify'

const text = { type: 'string' }
const post = {
  type: 'object',
  properties: {
    id: text,
    author_id: text,
    title: text,
    body: text,
    published: { type: 'boolean' },
    created_at: text,
    updated_at: text
  }
}
const problem = { type: 'object', properties: { title: text } }

const workers = Number(process.env.WORKERS)
if (cluster.isPrimary && workers > 1) {
  for (let n = 0; n < workers; n += 1) cluster.fork()
} else {
  const database = new Database(process.env.DATABASE_FILE)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  const find = database.prepare(
    'select id, author_id, title, body, published, created_at, updated_at from posts where id = ? and published'
  )

  const app = Fastify({ logger: false })
  app.get('/api/v1/posts/:id', { schema: { response: { 200: post, 404: problem } } }, (request, reply) => {
    const row = find.get(request.params.id)
    if (row === undefined) return reply.code(404).send({ title: 'Not found' })
    reply.send(row)
  })
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
}
