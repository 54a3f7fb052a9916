// Package middleware has what stands in front of the handlers.
package middleware

import (
	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

const minCompressed = 1024

// Gzip compresses answers of 1,024 bytes and more at gzip's level 6, with fasthttp's compressor, as Fiber's own middleware
// does. That one begins at 200 bytes, which cannot be set, and prefers Brotli.
func Gzip() fiber.Handler {
	compress := fasthttp.CompressHandlerLevel(func(*fasthttp.RequestCtx) {}, fasthttp.CompressDefaultCompression)
	return func(c fiber.Ctx) error {
		if err := c.Next(); err != nil {
			return err
		}
		if len(c.Response().Body()) >= minCompressed {
			c.Vary(fiber.HeaderAcceptEncoding)
			compress(c.RequestCtx())
		}
		return nil
	}
}
