package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
)

type config struct {
	host, port  string
	workers     int // 0: as many as the machine has
	databaseURL string
	poolSize    int
	cache       string
	redisURL    string
	gzip        bool
	http2       bool
	tokenSecret []byte
}

func loadConfig(env func(string) string) (config, error) {
	cfg := config{
		host:        cmp.Or(env("HOST"), "127.0.0.1"),
		port:        cmp.Or(env("PORT"), "8080"),
		databaseURL: env("DATABASE_URL"),
		cache:       cmp.Or(env("CACHE"), "none"),
		redisURL:    env("REDIS_URL"),
		gzip:        env("GZIP") == "on",
		http2:       env("HTTP") == "2",
		tokenSecret: []byte(env("TOKEN_SECRET")),
	}
	if len(cfg.tokenSecret) == 0 {
		// An empty key would make every token that anybody signs with it valid.
		return cfg, errors.New("TOKEN_SECRET is not set")
	}
	var err error
	if cfg.workers, err = number(env, "WORKERS", 0); err != nil {
		return cfg, err
	}
	cfg.poolSize, err = number(env, "POOL_SIZE", 10)
	return cfg, err
}

func number(env func(string) string, name string, otherwise int) (int, error) {
	text := env(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s must be a whole number above 0, not %q", name, text)
	}
	return n, nil
}
