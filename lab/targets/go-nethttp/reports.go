package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	keptFor   = time.Minute
	reportKey = "fastserve:report"
)

type report struct {
	Answer int       `json:"answer"`
	MadeAt time.Time `json:"made_at"`
}

func makeReport() report {
	return report{Answer: fibonacci(32), MadeAt: time.Now().UTC()}
}

// reports is where the report comes from.
type reports interface {
	Current(ctx context.Context) report
	Close() error
}

func openReports(cache, redisURL string) (reports, error) {
	switch cache {
	case "none":
		return freshReports{}, nil
	case "memory":
		return &memoryReports{}, nil
	case "redis":
		options, err := redis.ParseURL(redisURL)
		if err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		return &redisReports{client: redis.NewClient(options)}, nil
	}
	return nil, fmt.Errorf("CACHE must be none, memory or redis, not %q", cache)
}

// freshReports makes each anew.
type freshReports struct{}

func (freshReports) Current(context.Context) report { return makeReport() }
func (freshReports) Close() error                   { return nil }

// memoryReports keeps one in the process.
type memoryReports struct {
	mu    sync.Mutex
	kept  report
	until time.Time
}

func (m *memoryReports) Current(context.Context) report {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Made under the lock: whoever comes meanwhile waits, and does not make it again.
	if !time.Now().Before(m.until) {
		m.kept = makeReport()
		m.until = time.Now().Add(keptFor)
	}
	return m.kept
}

func (*memoryReports) Close() error { return nil }

// redisReports keeps one in Redis, for all processes.
type redisReports struct {
	client *redis.Client
	making sync.Mutex
}

// Current answers without the cache where Redis does not.
func (c *redisReports) Current(ctx context.Context) report {
	kept, err := c.get(ctx)
	if err == nil {
		return kept
	}
	c.making.Lock()
	defer c.making.Unlock()
	// Of those who missed it at once, one makes it and the others find it.
	if kept, err = c.get(ctx); err == nil {
		return kept
	}
	if !errors.Is(err, redis.Nil) {
		slog.WarnContext(ctx, "cannot read the report from Redis", "error", err)
	}
	made := makeReport()
	if err := c.set(ctx, made); err != nil {
		slog.WarnContext(ctx, "cannot keep the report in Redis", "error", err)
	}
	return made
}

func (c *redisReports) get(ctx context.Context) (kept report, err error) {
	text, err := c.client.Get(ctx, reportKey).Bytes()
	if err != nil {
		return kept, err
	}
	err = json.Unmarshal(text, &kept)
	return kept, err
}

func (c *redisReports) set(ctx context.Context, made report) error {
	text, err := json.Marshal(made)
	if err != nil {
		return err
	}
	return c.client.Set(ctx, reportKey, text, keptFor).Err()
}

func (c *redisReports) Close() error { return c.client.Close() }
