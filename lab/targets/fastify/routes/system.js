import { collectDefaultMetrics, register } from 'prom-client'

export default async function system(app) {
  collectDefaultMetrics()

  app.get('/api/health', (request, reply) => {
    reply.type('text/plain; charset=utf-8').send('ok')
  })

  app.get('/metrics', async (request, reply) => {
    reply.type(register.contentType)
    return register.metrics()
  })
}
