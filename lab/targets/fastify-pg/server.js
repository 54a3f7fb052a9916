// Posts over PostgreSQL with Fastify and pg: its pool, named (prepared) statements, schemas for the answers, a process
// per core.
import cluster from 'node:cluster'
import Fastify from 'fastify'
import pg from 'pg'

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
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 16 })
  const sql =
    'select id, author_id, title, body, published, created_at, updated_at from posts where id = $1 and published'

  const app = Fastify({ logger: false })
  app.get('/api/v1/posts/:id', { schema: { response: { 200: post, 404: problem } } }, async (request, reply) => {
    const { rows } = await pool.query({ name: 'post', text: sql, values: [request.params.id] })
    if (rows.length === 0) return reply.code(404).send({ title: 'Not found' })
    return rows[0]
  })
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
}
