import Database from 'better-sqlite3'
import { inOrder, statements } from './statements.js'

const sql = statements(() => '?')

export function open(url) {
  // The driver is synchronous: a process needs one connection.
  const database = new Database(decodeURIComponent(new URL(url).pathname), { timeout: 5000 })
  database.pragma('journal_mode = WAL')
  // The driver is built with NORMAL for WAL: what was acknowledged could be lost with the power.
  database.pragma('synchronous = FULL')

  const quote = database.prepare(sql.quote)
  const post = database.prepare(sql.post)
  const newest = database.prepare(sql.newest)
  const create = database.prepare(sql.create)

  return {
    quote: (id) => quote.get(id),
    post: (id) => post.get(id),
    newest: (limit) => newest.all(limit),
    create: (made) => create.run(inOrder({ ...made, published: made.published ? 1 : 0 })),
    close: () => database.close()
  }
}
