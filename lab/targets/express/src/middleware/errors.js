export function notFound(req, res) {
  res.status(404).json({ error: 'Not Found' })
}

// Express knows it by its four parameters.
export function handleError(error, req, res, next) {
  if (res.headersSent) return next(error)
  const status = error.status >= 400 && error.status < 500 ? error.status : 500
  if (status === 500) console.error(error)
  res.status(status).json({ error: status === 500 ? 'Internal Server Error' : error.message })
}
