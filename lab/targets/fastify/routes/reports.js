const REPORT_OF = 32
const KEPT_S = 60

const fibonacci = (n) => (n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2))
const report = () => ({ answer: fibonacci(REPORT_OF), made_at: new Date().toISOString() })

const number = { type: 'integer' }
const compute = {
  querystring: {
    type: 'object',
    required: ['n'],
    properties: { n: { type: 'integer', minimum: 0, maximum: 40 } }
  },
  response: { 200: { type: 'object', properties: { n: number, fibonacci: number } } }
}
const cache = {
  response: { 200: { type: 'object', properties: { answer: number, made_at: { type: 'string' } } } }
}

export default async function reports(app) {
  app.get('/compute', { schema: compute }, (request, reply) => {
    const { n } = request.query
    reply.send({ n, fibonacci: fibonacci(n) })
  })

  app.get('/cache', { schema: cache }, async () => app.cache.remember('fastify:report', KEPT_S, report))
}
