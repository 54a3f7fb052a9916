// Package database opens the one that DATABASE_URL names.
package database

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"os/user"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// DB reads and writes through connections of their own where that helps; otherwise both are the same.
type DB struct {
	Read, Write *gorm.DB
}

// Open connects, with at most poolSize connections in all.
func Open(databaseURL string, poolSize int) (*DB, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		// The error would show the password.
		return nil, errors.New("DATABASE_URL is not a URL")
	}
	switch u.Scheme {
	case "sqlite":
		return openSQLite(u.Path, poolSize)
	case "postgres", "postgresql":
		return same(connect(postgres.Open(databaseURL), poolSize))
	case "mysql":
		return same(connect(mysql.New(mysql.Config{DSNConfig: mysqlConfig(u)}), poolSize))
	}
	return nil, fmt.Errorf("DATABASE_URL begins with %q, not with sqlite, postgres or mysql", u.Scheme)
}

// Close closes all connections.
func (db *DB) Close() {
	for _, side := range []*gorm.DB{db.Read, db.Write} {
		if pool, err := side.DB(); err == nil {
			pool.Close()
		}
	}
}

// connect opens a pool, set up as GORM's page on performance says.
func connect(dialector gorm.Dialector, connections int) (*gorm.DB, error) {
	db, err := gorm.Open(dialector, &gorm.Config{
		PrepareStmt: true,
		// Each write here is one statement.
		SkipDefaultTransaction: true,
		Logger: logger.New(log.New(os.Stderr, "", log.LstdFlags), logger.Config{
			LogLevel:                  logger.Error,
			IgnoreRecordNotFoundError: true,
			ParameterizedQueries:      true, // What users wrote stays out of the log.
		}),
	})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	if dialector.Name() != "sqlite" {
		pool.SetConnMaxLifetime(5 * time.Minute)
	}
	return db, nil
}

func same(db *gorm.DB, err error) (*DB, error) {
	return &DB{Read: db, Write: db}, err
}

// openSQLite keeps one connection for writing: there is one writer at a time, and those who wait for the pool are served in
// turn, while those who wait for SQLite's lock sleep and try again.
func openSQLite(path string, connections int) (*DB, error) {
	// synchronous is named since the driver's own default for WAL is NORMAL. mode=rw: a wrong path makes no new file.
	dsn := (&url.URL{Scheme: "file", Path: path}).String() +
		"?mode=rw&_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000"
	if connections == 1 {
		return same(connect(sqlite.Open(dsn), 1))
	}
	read, err := connect(sqlite.Open(dsn), connections-1)
	if err != nil {
		return nil, err
	}
	write, err := connect(sqlite.Open(dsn), 1)
	return &DB{Read: read, Write: write}, err
}

func mysqlConfig(u *url.URL) *driver.Config {
	cfg := driver.NewConfig()
	cfg.Net = "tcp"
	cfg.Addr = u.Host
	if u.Port() == "" {
		cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	if cfg.User == "" {
		// As MySQL's own clients do.
		if me, err := user.Current(); err == nil {
			cfg.User = me.Username
		}
	}
	return cfg
}
