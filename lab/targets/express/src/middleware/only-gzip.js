// compression prefers Brotli where a client takes both.
export function onlyGzip(req, res, next) {
  if (req.acceptsEncodings('gzip')) req.headers['accept-encoding'] = 'gzip'
  next()
}
