//! PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::{Post, Quote, Store};

pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    pub fn connect(options: PgConnectOptions, connections: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            // sqlx would send a ping ahead of each query. After a rest is enough.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > Duration::from_secs(2) {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self { pool }
    }
}

#[async_trait]
impl Store for Postgres {
    async fn quote(&self, id: i32) -> sqlx::Result<Quote> {
        sqlx::query_as("select id, words, author from quotes where id = $1").bind(id).fetch_one(&self.pool).await
    }

    async fn insert(&self, post: &Post) -> sqlx::Result<()> {
        sqlx::query(
            "insert into posts (id, author_id, title, body, published, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&post.id)
        .bind(&post.author_id)
        .bind(&post.title)
        .bind(&post.body)
        .bind(post.published)
        .bind(&post.created_at)
        .bind(&post.updated_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn find(&self, id: &str) -> sqlx::Result<Option<Post>> {
        sqlx::query_as("select id, author_id, title, body, published, created_at, updated_at from posts where id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
    }

    async fn newest(&self, limit: u8) -> sqlx::Result<Vec<Post>> {
        sqlx::query_as("select id, author_id, title, body, published, created_at, updated_at from posts where published = true order by created_at desc, id desc limit $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
    }
}
