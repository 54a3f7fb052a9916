import cluster from 'node:cluster'

// A process per core, as Node.js uses one core each; the primary hands out connections in turns.
export function supervise(workers) {
  const listening = new Set()
  let isStopping = false
  const stop = () => {
    isStopping = true
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
  }

  cluster.on('listening', (worker) => listening.add(worker.id))
  cluster.on('exit', (worker, code, signal) => {
    if (isStopping) return
    console.error(`worker ${worker.process.pid} ended (${signal ?? code})`)
    if (listening.delete(worker.id)) {
      cluster.fork()
    } else {
      // It never got as far as listening, and the next one would not either.
      process.exitCode = 1
      stop()
    }
  })
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  for (let n = 0; n < workers; n += 1) cluster.fork()
}
