// A process per core, as Node.js uses one core each.
import cluster from 'node:cluster'
import closeWithGrace from 'close-with-grace'
import { build } from './app.js'
import { supervise } from './cluster.js'
import { config } from './config.js'

if (cluster.isPrimary && config.workers > 1) {
  supervise(config.workers)
} else {
  const app = await build(config)
  // At most eight seconds for open requests: a supervisor would kill the process soon after.
  closeWithGrace({ delay: 8_000 }, async ({ err }) => {
    if (err) console.error(err)
    await app.close()
  })
  await app.listen({ host: config.host, port: config.port })
}
