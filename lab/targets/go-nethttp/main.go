// FastServe on Go's own net/http: the router, the server and JSON of the standard library, and a driver for each database.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

const shutdownWithin = 8 * time.Second

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err := run(); err != nil {
		slog.Error("the server ended", "error", err)
		os.Exit(1)
	}
}

func run() error {
	cfg, err := loadConfig(os.Getenv)
	if err != nil {
		return err
	}
	if cfg.workers > 0 {
		runtime.GOMAXPROCS(cfg.workers)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	store, err := openStore(ctx, cfg.databaseURL, cfg.poolSize)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer store.Close()
	reports, err := openReports(cfg.cache, cfg.redisURL)
	if err != nil {
		return fmt.Errorf("open the cache: %w", err)
	}
	defer reports.Close()

	app := &app{store: store, reports: reports, tokens: newTokens(cfg.tokenSecret)}
	handler, err := app.routes(cfg.gzip)
	if err != nil {
		return err
	}
	server := newServer(net.JoinHostPort(cfg.host, cfg.port), handler, cfg.http2)

	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("listening", "address", server.Addr, "workers", runtime.GOMAXPROCS(0))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop() // A second signal ends the process at once.

	deadline, cancel := context.WithTimeout(context.Background(), shutdownWithin)
	defer cancel()
	if err := server.Shutdown(deadline); err != nil {
		// Whoever is still being answered is cut off, which cancels what it asked of the database.
		return errors.Join(err, server.Close())
	}
	return nil
}

func newServer(address string, handler http.Handler, http2 bool) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Server{
		Addr:      address,
		Handler:   handler,
		Protocols: protocols,
		// The defaults of net/http wait for a slow client for ever.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
}
