import jwt from '@fastify/jwt'
import plugin from 'fastify-plugin'

// `onRequest: app.authenticate` lets in who has a good token; its claims are in `request.user`.
export default plugin(async (app, { secret }) => {
  await app.register(jwt, {
    secret,
    verify: { algorithms: ['HS256'], requiredClaims: ['sub', 'exp'] }
  })

  app.decorate('authenticate', async (request, reply) => {
    try {
      const { sub } = await request.jwtVerify()
      if (typeof sub !== 'string' || sub.length > 64) throw new Error('The subject is no text of at most 64 characters')
    } catch (error) {
      // The plugin calls some bad tokens a bad request.
      error.statusCode = 401
      reply.header('www-authenticate', 'Bearer')
      throw error
    }
  })
})
