import { randomBytes } from 'node:crypto'

const { env } = process
const workers = count('WORKERS', 1)

export const config = {
  host: env.HOST ?? '127.0.0.1',
  port: Number(env.PORT ?? 8080),
  workers,
  databaseUrl: env.DATABASE_URL,
  // The number is for all processes together; each takes its share.
  poolSize: Math.max(1, Math.floor(count('POOL_SIZE', 10) / workers)),
  cache: oneOf('CACHE', ['none', 'memory', 'redis']),
  redisUrl: env.REDIS_URL ?? 'redis://127.0.0.1:6379',
  gzip: oneOf('GZIP', ['off', 'on']) === 'on',
  http2: oneOf('HTTP', ['1', '2']) === '2',
  // Without a secret nobody's token is good.
  tokenSecret: env.TOKEN_SECRET ?? randomBytes(32).toString('hex')
}

function count(name, otherwise) {
  const number = Number(env[name] ?? otherwise)
  if (!Number.isInteger(number) || number < 1) throw new Error(`${name} is no whole number above 0`)
  return number
}

function oneOf(name, words) {
  const word = env[name] ?? words[0]
  if (!words.includes(word)) throw new Error(`${name} is none of ${words.join(', ')}`)
  return word
}
