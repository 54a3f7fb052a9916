import { randomInt } from 'node:crypto'

const QUOTES = 1000

const text = { type: 'string' }
const schema = {
  response: { 200: { type: 'object', properties: { id: { type: 'integer' }, words: text, author: text } } }
}

export default async function quotes(app) {
  app.get('/db', { schema }, async () => app.store.quote(randomInt(1, QUOTES + 1)))
}
