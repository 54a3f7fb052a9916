package main

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"os/user"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/mattn/go-sqlite3"
)

// sqlStore is SQLite or MySQL through database/sql, with statements prepared once per connection.
type sqlStore struct {
	pools                       []*sql.DB
	quote, post, newest, insert *sql.Stmt
}

func openSQLite(ctx context.Context, path string, connections int) (Store, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"mode":          {"rw"}, // A wrong path is an error, not a new file.
		"_journal_mode": {"WAL"},
		// The driver is compiled with NORMAL for WAL, under which a power cut may lose what was acknowledged.
		"_synchronous":  {"FULL"},
		"_busy_timeout": {"5000"},
	}.Encode()}
	read, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, err
	}
	// SQLite lets one write at a time. With one connection for that, writers wait in the pool's queue, in turn; with several
	// they would sleep until the lock happens to be free when they wake. Who reads never waits for it.
	write := read
	if connections > 1 {
		if write, err = sql.Open("sqlite3", dsn.String()); err != nil {
			return nil, err
		}
		limit(write, 1)
		connections--
	}
	limit(read, connections)
	return prepare(ctx, read, write)
}

func openMySQL(ctx context.Context, parsed *url.URL, connections int) (Store, error) {
	cfg := mysql.NewConfig()
	cfg.User = parsed.User.Username()
	cfg.Passwd, _ = parsed.User.Password()
	if cfg.User == "" {
		// As MySQL's own clients do.
		if me, err := user.Current(); err == nil {
			cfg.User = me.Username
		}
	}
	cfg.Net = "tcp"
	cfg.Addr = parsed.Host
	if parsed.Port() == "" {
		cfg.Addr = net.JoinHostPort(parsed.Hostname(), "3306")
	}
	cfg.DBName = strings.TrimPrefix(parsed.Path, "/")
	cfg.Timeout = 10 * time.Second
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	limit(db, connections)
	// The driver's documentation: sooner than the server, or anything between, closes them.
	db.SetConnMaxLifetime(3 * time.Minute)
	return prepare(ctx, db, db)
}

func limit(db *sql.DB, connections int) {
	db.SetMaxOpenConns(connections)
	// By default two idle ones are kept, and the others opened again and again.
	db.SetMaxIdleConns(connections)
}

func prepare(ctx context.Context, read, write *sql.DB) (_ Store, err error) {
	store := &sqlStore{pools: []*sql.DB{read, write}}
	defer func() {
		if err != nil {
			store.Close()
		}
	}()
	for _, statement := range []struct {
		to   **sql.Stmt
		db   *sql.DB
		text string
	}{
		{&store.quote, read, "select id, words, author from quotes where id = ?"},
		{&store.post, read, "select id, author_id, title, body, published, created_at, updated_at from posts where id = ?"},
		// "= true", since SQLite uses the index on published for nothing less.
		{&store.newest, read, `
			select id, author_id, title, body, published, created_at, updated_at from posts
			where published = true order by created_at desc, id desc limit ?`},
		{&store.insert, write, `
			insert into posts (id, author_id, title, body, published, created_at, updated_at)
			values (?, ?, ?, ?, ?, ?, ?)`},
	} {
		if *statement.to, err = statement.db.PrepareContext(ctx, statement.text); err != nil {
			return nil, err
		}
	}
	return store, nil
}

func (s *sqlStore) Quote(ctx context.Context, id int) (Quote, error) {
	var quote Quote
	err := s.quote.QueryRowContext(ctx, id).Scan(&quote.ID, &quote.Words, &quote.Author)
	return quote, found(err)
}

func (s *sqlStore) Post(ctx context.Context, id string) (Post, error) {
	post, err := scanPost(s.post.QueryRowContext(ctx, id))
	return post, found(err)
}

func (s *sqlStore) NewestPosts(ctx context.Context, limit int) ([]Post, error) {
	rows, err := s.newest.QueryContext(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	posts := make([]Post, 0, limit)
	for rows.Next() {
		post, err := scanPost(rows)
		if err != nil {
			return nil, err
		}
		posts = append(posts, post)
	}
	return posts, rows.Err()
}

func (s *sqlStore) AddPost(ctx context.Context, p Post) error {
	_, err := s.insert.ExecContext(ctx, p.ID, p.AuthorID, p.Title, p.Body, p.Published, p.CreatedAt, p.UpdatedAt)
	return err
}

func (s *sqlStore) Close() {
	for _, pool := range s.pools {
		pool.Close()
	}
}

func scanPost(row interface{ Scan(...any) error }) (p Post, err error) {
	err = row.Scan(&p.ID, &p.AuthorID, &p.Title, &p.Body, &p.Published, &p.CreatedAt, &p.UpdatedAt)
	return p, err
}

func found(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
