import pg from 'pg'
import { inOrder, statements } from './statements.js'

const sql = statements((n) => `$${n}`)

export function open(url, poolSize) {
  const pool = new pg.Pool({ connectionString: url, max: poolSize })
  // An idle connection that breaks is replaced when one is needed; without a listener it would end the process.
  pool.on('error', (error) => console.error(`PostgreSQL: ${error.message}`))
  // A name makes it a prepared statement, once for each connection.
  const run = (name, values) => pool.query({ name, text: sql[name], values })

  return {
    quote: async (id) => (await run('quote', [id])).rows[0],
    post: async (id) => (await run('post', [id])).rows[0],
    newest: async (limit) => (await run('newest', [limit])).rows,
    create: (made) => run('create', inOrder(made)),
    close: () => pool.end()
  }
}
