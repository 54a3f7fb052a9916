import plugin from 'fastify-plugin'

const STORES = {
  'sqlite:': './sqlite.js',
  'postgres:': './postgres.js',
  'postgresql:': './postgres.js',
  'mysql:': './mariadb.js'
}

// `app.store`, over the driver that the URL asks for; the others are not even loaded.
export default plugin(async (app, { url, poolSize }) => {
  if (!url) return
  const { protocol } = new URL(url)
  if (!(protocol in STORES)) throw new Error('DATABASE_URL begins with sqlite:, postgres: or mysql:')
  const { open } = await import(new URL(STORES[protocol], new URL('../stores/', import.meta.url)))
  const store = open(url, poolSize)
  app.decorate('store', store)
  app.addHook('onClose', () => store.close())
})
