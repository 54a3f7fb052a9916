package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

var (
	// ErrNotFound is returned for a row that is not there.
	ErrNotFound = errors.New("not found")
	// ErrNoDatabase is returned by a store without a database.
	ErrNoDatabase = errors.New("there is no database")
)

// Quote is a row of quotes.
type Quote struct {
	ID     int    `json:"id"`
	Words  string `json:"words"`
	Author string `json:"author"`
}

// Post is a row of posts. Its times are text, as they stand in the answers.
type Post struct {
	ID        string `json:"id"`
	AuthorID  string `json:"author_id"`
	Title     string `json:"title"`
	Body      string `json:"body"`
	Published bool   `json:"published"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

// Store is what the handlers need of a database.
type Store interface {
	Quote(ctx context.Context, id int) (Quote, error)
	Post(ctx context.Context, id string) (Post, error)
	// NewestPosts returns published ones, the newest first.
	NewestPosts(ctx context.Context, limit int) ([]Post, error)
	AddPost(ctx context.Context, post Post) error
	Close()
}

// openStore connects to the database that the URL names, with that many connections in all.
func openStore(ctx context.Context, databaseURL string, connections int) (Store, error) {
	if databaseURL == "" {
		return noStore{}, nil
	}
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		// The error would show the password.
		return nil, errors.New("DATABASE_URL is not a URL")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch parsed.Scheme {
	case "sqlite":
		return openSQLite(ctx, parsed.Path, connections)
	case "postgres", "postgresql":
		return openPostgres(ctx, databaseURL, connections)
	case "mysql":
		return openMySQL(ctx, parsed, connections)
	}
	return nil, fmt.Errorf("DATABASE_URL begins with %q, not with sqlite, postgres or mysql", parsed.Scheme)
}

// noStore is for a server without a database.
type noStore struct{}

func (noStore) Quote(context.Context, int) (Quote, error)        { return Quote{}, ErrNoDatabase }
func (noStore) Post(context.Context, string) (Post, error)       { return Post{}, ErrNoDatabase }
func (noStore) NewestPosts(context.Context, int) ([]Post, error) { return nil, ErrNoDatabase }
func (noStore) AddPost(context.Context, Post) error              { return ErrNoDatabase }
func (noStore) Close()                                           {}
