// As Fastify answers by itself, except that nobody learns what went wrong inside; with its logger off, that is written here.
export function handleError(error, request, reply) {
  if (error.statusCode >= 400 && error.statusCode < 500) return reply.send(error)
  console.error(error)
  return reply.code(500).send(new Error('Something went wrong'))
}
