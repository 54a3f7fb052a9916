// The same for every database, but for how a value is marked.
const columns = 'id, author_id, title, body, published, created_at, updated_at'

export const statements = (mark) => ({
  quote: `select id, words, author from quotes where id = ${mark(1)}`,
  post: `select ${columns} from posts where id = ${mark(1)}`,
  newest: `select ${columns} from posts where published = true order by created_at desc, id desc limit ${mark(1)}`,
  create: `insert into posts (${columns}) values (${[1, 2, 3, 4, 5, 6, 7].map(mark).join(', ')})`
})

export const inOrder = (post) => [
  post.id,
  post.author_id,
  post.title,
  post.body,
  post.published,
  post.created_at,
  post.updated_at
]
