import { userInfo } from 'node:os'
import knex from 'knex'

// Knex over the driver that the URL asks for.
export function connect(url, poolSize) {
  switch (new URL(url).protocol) {
    case 'sqlite:':
      return knex(sqlite(url))
    case 'postgres:':
    case 'postgresql:':
      return knex({ client: 'pg', connection: { connectionString: url }, pool: { min: 0, max: poolSize } })
    case 'mysql:':
    case 'mariadb:':
      return knex({ client: 'mysql2', connection: mysql(url), pool: { min: 0, max: poolSize } })
    default:
      throw new Error('DATABASE_URL begins with sqlite:, postgres: or mysql:')
  }
}

function sqlite(url) {
  return {
    client: 'better-sqlite3',
    connection: { filename: decodeURIComponent(new URL(url).pathname) },
    useNullAsDefault: true,
    pool: {
      // The driver is synchronous: with a second connection nothing would be faster.
      min: 1,
      max: 1,
      afterCreate(connection, done) {
        connection.pragma('journal_mode = WAL')
        // The driver is built with NORMAL for WAL: what was acknowledged could be lost with the power.
        connection.pragma('synchronous = FULL')
        connection.pragma('busy_timeout = 5000')
        done(null, connection)
      }
    }
  }
}

function mysql(url) {
  const { hostname, port, username, password, pathname } = new URL(url)
  return {
    host: hostname,
    port: port ? Number(port) : 3306,
    user: decodeURIComponent(username) || userInfo().username,
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1))
  }
}
