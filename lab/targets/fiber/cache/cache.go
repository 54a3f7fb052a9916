// Package cache keeps the report for a minute: nowhere, in the process or in Redis.
package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/goccy/go-json"
	"github.com/gofiber/fiber/v3/log"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"lab/fiber/models"
)

const (
	ttl = time.Minute
	key = "report"
)

var errMiss = errors.New("not in the cache")

// Store is where a report is kept. Get returns errMiss for none.
type Store interface {
	Get(ctx context.Context) (models.Report, error)
	Set(ctx context.Context, report models.Report) error
}

// Reports hands out reports.
type Reports struct {
	store  Store
	make   func() models.Report
	misses singleflight.Group
}

// New keeps what make returns in the store of that name.
func New(name, redisURL string, make func() models.Report) (*Reports, error) {
	reports := &Reports{make: make}
	switch name {
	case "none":
	case "memory":
		reports.store = new(memoryStore)
	case "redis":
		options, err := redis.ParseURL(redisURL)
		if err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		reports.store = redisStore{redis.NewClient(options)}
	default:
		return nil, fmt.Errorf("CACHE must be none, memory or redis, not %q", name)
	}
	return reports, nil
}

// Current returns the one that is kept, or a new one. A store that fails costs time, not the answer.
func (r *Reports) Current(ctx context.Context) models.Report {
	if r.store == nil {
		return r.make()
	}
	report, err := r.store.Get(ctx)
	if err == nil {
		return report
	}
	if !errors.Is(err, errMiss) {
		log.Warnw("cannot read from the cache", "error", err)
	}
	// Of those who miss it at once, one makes it for all.
	made, _, _ := r.misses.Do(key, func() (any, error) {
		if report, err := r.store.Get(ctx); err == nil {
			return report, nil
		}
		report := r.make()
		if err := r.store.Set(ctx, report); err != nil {
			log.Warnw("cannot write to the cache", "error", err)
		}
		return report, nil
	})
	return made.(models.Report)
}

type kept struct {
	report models.Report
	until  time.Time
}

type memoryStore struct {
	kept atomic.Pointer[kept]
}

func (s *memoryStore) Get(context.Context) (models.Report, error) {
	kept := s.kept.Load()
	if kept == nil || time.Now().After(kept.until) {
		return models.Report{}, errMiss
	}
	return kept.report, nil
}

func (s *memoryStore) Set(_ context.Context, report models.Report) error {
	s.kept.Store(&kept{report, time.Now().Add(ttl)})
	return nil
}

type redisStore struct {
	client *redis.Client
}

func (s redisStore) Get(ctx context.Context) (report models.Report, err error) {
	text, err := s.client.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return report, errMiss
	}
	if err != nil {
		return report, err
	}
	err = json.Unmarshal(text, &report)
	return report, err
}

func (s redisStore) Set(ctx context.Context, report models.Report) error {
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	return s.client.Set(ctx, key, text, ttl).Err()
}
