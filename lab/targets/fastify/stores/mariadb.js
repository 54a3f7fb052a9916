import { userInfo } from 'node:os'
import mysql from 'mysql2/promise'
import { inOrder, statements } from './statements.js'

const sql = statements(() => '?')

export function open(url, poolSize) {
  const { hostname, port, username, password, pathname } = new URL(url)
  const pool = mysql.createPool({
    host: hostname,
    port: port ? Number(port) : 3306,
    user: decodeURIComponent(username) || userInfo().username,
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    connectionLimit: poolSize
  })
  // `execute` prepares a statement once for each connection.
  const run = async (name, values) => (await pool.execute(sql[name], values))[0]

  return {
    quote: async (id) => (await run('quote', [id]))[0],
    post: async (id) => (await run('post', [id]))[0],
    newest: (limit) => run('newest', [limit]),
    create: (made) => run('create', inOrder(made)),
    close: () => pool.end()
  }
}
