import { randomUUID } from 'node:crypto'

const text = { type: 'string' }
// SQLite and MariaDB have 0 and 1 for booleans; the schema makes them what they are.
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
// Without NUL, which PostgreSQL refuses, and halves of surrogate pairs.
const characters = { type: 'string', pattern: '^[^\\0\\p{Cs}]*$' }

const create = {
  body: {
    type: 'object',
    required: ['title', 'body'],
    properties: {
      title: { ...characters, minLength: 1, maxLength: 200 },
      body: { ...characters, maxLength: 10_000 },
      published: { type: 'boolean', default: false }
    },
    additionalProperties: false
  },
  response: { 201: post }
}
const read = {
  params: { type: 'object', properties: { id: { ...characters, maxLength: 64 } } },
  response: { 200: post }
}
const list = {
  querystring: {
    type: 'object',
    properties: { limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 } }
  },
  response: { 200: { type: 'object', properties: { items: { type: 'array', items: post } } } }
}

// Six digits of a second, so that the text sorts as the time does.
const now = () => new Date().toISOString().replace('Z', '000Z')

export default async function posts(app) {
  app.addHook('onRequest', app.authenticate)

  app.post('/', { schema: create }, async (request, reply) => {
    const { title, body, published } = request.body
    const time = now()
    const made = {
      id: randomUUID(),
      author_id: request.user.sub,
      title,
      body,
      published,
      created_at: time,
      updated_at: time
    }
    await app.store.create(made)
    return reply.code(201).send(made)
  })

  app.get('/', { schema: list }, async (request) => ({ items: await app.store.newest(request.query.limit) }))

  app.get('/:id', { schema: read }, async (request, reply) => {
    const found = await app.store.post(request.params.id)
    return found ?? reply.callNotFound()
  })
}
