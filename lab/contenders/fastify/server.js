// Fastify with one route; a process per core, as its documentation advises.
import cluster from 'node:cluster'
import Fastify from 'fastify'

const workers = Number(process.env.WORKERS)
if (cluster.isPrimary && workers > 1) {
  for (let n = 0; n < workers; n += 1) cluster.fork()
} else {
  const app = Fastify({ logger: false })
  app.get('/api/health', (request, reply) => {
    reply.type('text/plain; charset=utf-8').send('ok')
  })
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
}
