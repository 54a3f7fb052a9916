package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresStore speaks to pgx itself instead of through database/sql. pgx prepares each statement once per connection.
type postgresStore struct {
	pool *pgxpool.Pool
}

func openPostgres(ctx context.Context, databaseURL string, connections int) (Store, error) {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(connections)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return &postgresStore{pool}, nil
}

func (s *postgresStore) Quote(ctx context.Context, id int) (Quote, error) {
	var quote Quote
	err := s.pool.QueryRow(ctx, "select id, words, author from quotes where id = $1", id).
		Scan(&quote.ID, &quote.Words, &quote.Author)
	return quote, foundByPgx(err)
}

func (s *postgresStore) Post(ctx context.Context, id string) (Post, error) {
	var p Post
	err := s.pool.QueryRow(ctx,
		"select id, author_id, title, body, published, created_at, updated_at from posts where id = $1", id).
		Scan(&p.ID, &p.AuthorID, &p.Title, &p.Body, &p.Published, &p.CreatedAt, &p.UpdatedAt)
	return p, foundByPgx(err)
}

func (s *postgresStore) NewestPosts(ctx context.Context, limit int) ([]Post, error) {
	rows, err := s.pool.Query(ctx, `
		select id, author_id, title, body, published, created_at, updated_at from posts
		where published order by created_at desc, id desc limit $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Post])
}

func (s *postgresStore) AddPost(ctx context.Context, p Post) error {
	_, err := s.pool.Exec(ctx, `
		insert into posts (id, author_id, title, body, published, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7)`,
		p.ID, p.AuthorID, p.Title, p.Body, p.Published, p.CreatedAt, p.UpdatedAt)
	return err
}

func (s *postgresStore) Close() { s.pool.Close() }

func foundByPgx(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
