//! SQLite. A connection is a thread of sqlx's, so all workers can share them.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::{Post, Quote, Store};

#[derive(Clone)]
pub struct Sqlite {
    reads: SqlitePool,
    /// SQLite has one writer at a time. Waiting for this connection is cheaper than trying for its lock again and again.
    writes: SqlitePool,
}

impl Sqlite {
    pub async fn open(url: &str, connections: u32) -> sqlx::Result<Self> {
        let options = url
            .parse::<SqliteConnectOptions>()?
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        // A file does not go away as a server may: no pings, and nothing is gained by opening it anew.
        let pool = SqlitePoolOptions::new().test_before_acquire(false).idle_timeout(None).max_lifetime(None);
        let writes = pool.clone().max_connections(1).connect_with(options.clone()).await?;
        let reads = if connections > 1 {
            pool.max_connections(connections - 1).connect_with(options).await?
        } else {
            writes.clone()
        };
        Ok(Self { reads, writes })
    }

    pub async fn close(&self) {
        self.reads.close().await;
        self.writes.close().await;
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn quote(&self, id: i32) -> sqlx::Result<Quote> {
        sqlx::query_as("select id, words, author from quotes where id = ?").bind(id).fetch_one(&self.reads).await
    }

    async fn insert(&self, post: &Post) -> sqlx::Result<()> {
        sqlx::query(
            "insert into posts (id, author_id, title, body, published, created_at, updated_at)
             values (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&post.id)
        .bind(&post.author_id)
        .bind(&post.title)
        .bind(&post.body)
        .bind(post.published)
        .bind(&post.created_at)
        .bind(&post.updated_at)
        .execute(&self.writes)
        .await?;
        Ok(())
    }

    async fn find(&self, id: &str) -> sqlx::Result<Option<Post>> {
        sqlx::query_as("select id, author_id, title, body, published, created_at, updated_at from posts where id = ?")
            .bind(id)
            .fetch_optional(&self.reads)
            .await
    }

    async fn newest(&self, limit: u8) -> sqlx::Result<Vec<Post>> {
        sqlx::query_as("select id, author_id, title, body, published, created_at, updated_at from posts where published = true order by created_at desc, id desc limit ?")
            .bind(limit)
            .fetch_all(&self.reads)
            .await
    }
}
