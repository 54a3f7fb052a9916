// FastServe on Fiber, with GORM.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/goccy/go-json"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lab/fiber/config"
	"lab/fiber/database"
	"lab/fiber/handlers"
	"lab/fiber/middleware"
)

const shutdownWithin = 8 * time.Second

func main() {
	cfg := config.Load()
	if cfg.Workers > 0 {
		runtime.GOMAXPROCS(cfg.Workers)
	}
	var db *database.DB
	if cfg.DatabaseURL != "" {
		var err error
		if db, err = database.Open(cfg.DatabaseURL, cfg.PoolSize); err != nil {
			log.Fatalf("cannot open the database: %v", err)
		}
		defer db.Close()
	}
	h, err := handlers.New(cfg, db)
	if err != nil {
		log.Fatal(err)
	}
	app := newApp(cfg, h)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		if err := app.Listen(cfg.Address, fiber.ListenConfig{DisableStartupMessage: true}); err != nil {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	if err := app.ShutdownWithTimeout(shutdownWithin); err != nil {
		log.Printf("some requests were cut off: %v", err)
	}
}

func newApp(cfg config.Config, h *handlers.Handlers) *fiber.App {
	app := fiber.New(fiber.Config{
		AppName:         "FastServe",
		CaseSensitive:   true,
		StrictRouting:   true,
		ReadTimeout:     15 * time.Second,
		WriteTimeout:    30 * time.Second,
		IdleTimeout:     2 * time.Minute,
		JSONEncoder:     json.Marshal,
		JSONDecoder:     json.Unmarshal,
		StructValidator: handlers.NewValidator(),
		ErrorHandler:    handlers.Error,
	})
	app.Use(recover.New())
	if cfg.Gzip {
		app.Use(middleware.Gzip())
	}

	api := app.Group("/api")
	api.Get("/health", h.Health)
	api.Get("/compute", h.Compute)
	api.Get("/cache", h.Report)
	api.Get("/db", h.NeedsDatabase, h.Quote)

	auth := middleware.Auth(cfg.TokenSecret)
	posts := api.Group("/v1/posts")
	posts.Post("", auth, h.NeedsDatabase, h.CreatePost)
	posts.Get("", auth, h.NeedsDatabase, h.ListPosts)
	posts.Get("/:id", auth, h.NeedsDatabase, h.GetPost)

	// promhttp compresses by itself; here the middleware decides that.
	metrics := promhttp.HandlerFor(prometheus.DefaultGatherer, promhttp.HandlerOpts{DisableCompression: true})
	app.Get("/metrics", adaptor.HTTPHandler(metrics))
	return app
}
