// Package config reads what the environment says.
package config

import (
	"log"
	"os"
	"strconv"
)

// Config is how the server was told to run.
type Config struct {
	Address     string
	Workers     int
	DatabaseURL string
	PoolSize    int
	Cache       string
	RedisURL    string
	Gzip        bool
	TokenSecret []byte
}

// Load ends the program if something cannot work.
func Load() Config {
	cfg := Config{
		Address:     getenv("HOST", "127.0.0.1") + ":" + getenv("PORT", "8080"),
		Workers:     getint("WORKERS", 0),
		DatabaseURL: os.Getenv("DATABASE_URL"),
		PoolSize:    getint("POOL_SIZE", 10),
		Cache:       getenv("CACHE", "none"),
		RedisURL:    os.Getenv("REDIS_URL"),
		Gzip:        os.Getenv("GZIP") == "on",
		TokenSecret: []byte(os.Getenv("TOKEN_SECRET")),
	}
	if len(cfg.TokenSecret) == 0 {
		log.Fatal("TOKEN_SECRET is not set")
	}
	return cfg
}

func getenv(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func getint(name string, fallback int) int {
	value := os.Getenv(name)
	if value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		log.Fatalf("%s must be a whole number above 0, not %q", name, value)
	}
	return n
}
