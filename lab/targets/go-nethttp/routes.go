package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type app struct {
	store   Store
	reports reports
	tokens  *tokens
}

func (a *app) routes(gzip bool) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/health", a.health)
	mux.HandleFunc("GET /api/compute", a.compute)
	mux.HandleFunc("GET /api/cache", a.report)
	mux.HandleFunc("GET /api/db", a.quote)
	mux.Handle("POST /api/v1/posts", a.tokens.required(a.createPost))
	mux.Handle("GET /api/v1/posts", a.tokens.required(a.listPosts))
	mux.Handle("GET /api/v1/posts/{id}", a.tokens.required(a.readPost))
	// promhttp compresses by itself; here that is decided below, for all answers.
	mux.Handle("GET /metrics",
		promhttp.HandlerFor(prometheus.DefaultGatherer, promhttp.HandlerOpts{DisableCompression: true}))
	if !gzip {
		return mux, nil
	}
	// gzhttp prefers Zstandard where a client takes both.
	compressed, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.CompressionLevel(6), gzhttp.EnableZstd(false))
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	return compressed(mux), nil
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok")
}

func (a *app) compute(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 0 || n > 40 {
		writeError(w, http.StatusBadRequest, "n must be a whole number from 0 to 40")
		return
	}
	writeJSON(w, http.StatusOK, struct {
		N         int `json:"n"`
		Fibonacci int `json:"fibonacci"`
	}{n, fibonacci(n)})
}

func (a *app) report(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, a.reports.Current(r.Context()))
}

func (a *app) quote(w http.ResponseWriter, r *http.Request) {
	quote, err := a.store.Quote(r.Context(), 1+rand.IntN(1000))
	if err != nil {
		writeFailure(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, quote)
}

// fibonacci is slow on purpose: it stands for work.
func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		slog.Error("cannot encode an answer", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// Without it, whatever does not fit into the server's buffer would go out in chunks.
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"error": message})
}

// writeFailure answers what the store could not do.
func writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		writeError(w, http.StatusNotFound, "not found")
	case errors.Is(err, ErrNoDatabase):
		writeError(w, http.StatusServiceUnavailable, "there is no database")
	case r.Context().Err() != nil:
		// The client has gone, and nobody reads an answer.
	default:
		slog.ErrorContext(r.Context(), "a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		writeError(w, http.StatusInternalServerError, "internal error")
	}
}
