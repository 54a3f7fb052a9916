import { z } from 'zod'

const count = z.coerce.number().int().min(1)
const environment = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65535).default(8080),
  WORKERS: count.default(1),
  DATABASE_URL: z.url().optional(),
  POOL_SIZE: count.default(10),
  CACHE: z.enum(['none', 'memory', 'redis']).default('none'),
  REDIS_URL: z.url().default('redis://127.0.0.1:6379'),
  GZIP: z.enum(['on', 'off']).default('off'),
  TOKEN_SECRET: z.string().min(1)
})

const parsed = environment.safeParse(process.env)
if (!parsed.success) {
  console.error(`The environment does not fit:\n${z.prettifyError(parsed.error)}`)
  process.exit(1)
}
const env = parsed.data

export const config = {
  host: env.HOST,
  port: env.PORT,
  workers: env.WORKERS,
  databaseUrl: env.DATABASE_URL,
  // The number is for all processes together; each takes its share.
  poolSize: Math.max(1, Math.floor(env.POOL_SIZE / env.WORKERS)),
  cache: env.CACHE,
  redisUrl: env.REDIS_URL,
  gzip: env.GZIP === 'on',
  tokenSecret: env.TOKEN_SECRET
}
