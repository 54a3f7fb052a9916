// Package handlers answers requests.
package handlers

import (
	"math/rand/v2"
	"time"

	"github.com/gofiber/fiber/v3"

	"lab/fiber/cache"
	"lab/fiber/config"
	"lab/fiber/database"
	"lab/fiber/models"
)

// Handlers are methods of what they need.
type Handlers struct {
	db      *database.DB
	reports *cache.Reports
}

// New takes nil for no database.
func New(cfg config.Config, db *database.DB) (*Handlers, error) {
	reports, err := cache.New(cfg.Cache, cfg.RedisURL, makeReport)
	return &Handlers{db: db, reports: reports}, err
}

// NeedsDatabase answers 503 where there is none.
func (h *Handlers) NeedsDatabase(c fiber.Ctx) error {
	if h.db == nil {
		return fiber.ErrServiceUnavailable
	}
	return c.Next()
}

// Health says that the server is there.
func (h *Handlers) Health(c fiber.Ctx) error {
	return c.SendString("ok")
}

type computed struct {
	N         int `json:"n"`
	Fibonacci int `json:"fibonacci"`
}

// Compute works for each request anew.
func (h *Handlers) Compute(c fiber.Ctx) error {
	// Bind would make 0 of an empty n; this makes -1 of whatever is not a whole number.
	n := fiber.Query(c, "n", -1)
	if n < 0 || n > 40 {
		return fiber.NewError(fiber.StatusBadRequest, "n must be a whole number from 0 to 40")
	}
	return c.JSON(computed{N: n, Fibonacci: fibonacci(n)})
}

// Report answers the one that is kept.
func (h *Handlers) Report(c fiber.Ctx) error {
	return c.JSON(h.reports.Current(c.Context()))
}

func makeReport() models.Report {
	return models.Report{Answer: fibonacci(32), MadeAt: time.Now().UTC()}
}

// Quote reads one by chance.
func (h *Handlers) Quote(c fiber.Ctx) error {
	var quote models.Quote
	if err := h.db.Read.WithContext(c.Context()).Take(&quote, 1+rand.IntN(1000)).Error; err != nil {
		return err
	}
	return c.JSON(quote)
}

// fibonacci is slow on purpose: it stands for work.
func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}
