// The server starts without a database too; what needs one says so.
export const needs = (db) => (req, res, next) => {
  if (db) return next()
  res.status(503).json({ error: 'No database' })
}
