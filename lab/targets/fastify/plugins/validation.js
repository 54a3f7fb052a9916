import Ajv from 'ajv'
import plugin from 'fastify-plugin'

// Fastify's own settings would take a number for a text everywhere. What stands in a path or a query is text, so there it
// is wanted; in a body it is not.
const base = { useDefaults: true, removeAdditional: true }
const strict = new Ajv({ ...base, coerceTypes: false })
const lenient = new Ajv({ ...base, coerceTypes: true })

export default plugin(async (app) => {
  app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? strict : lenient).compile(schema))
})
