import { randomUUID } from 'node:crypto'

const COLUMNS = ['id', 'author_id', 'title', 'body', 'published', 'created_at', 'updated_at']

// SQLite and MariaDB have 0 and 1 for booleans.
const fromRow = (row) => ({ ...row, published: Boolean(row.published) })

// Six digits of a second, so that the text sorts as the time does.
const now = () => new Date().toISOString().replace('Z', '000Z')

export class Posts {
  constructor(db) {
    this.db = db
  }

  async find(id) {
    const row = await this.db('posts').where({ id }).first(COLUMNS)
    return row && fromRow(row)
  }

  async newestPublished(limit) {
    const rows = await this.db('posts')
      .where({ published: true })
      .orderBy([
        { column: 'created_at', order: 'desc' },
        { column: 'id', order: 'desc' }
      ])
      .limit(limit)
      .select(COLUMNS)
    return rows.map(fromRow)
  }

  async create({ authorId, title, body, published }) {
    const time = now()
    const post = { id: randomUUID(), author_id: authorId, title, body, published, created_at: time, updated_at: time }
    await this.db('posts').insert(post)
    return post
  }
}
