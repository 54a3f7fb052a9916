//! The same queries on SQLite, PostgreSQL and MariaDB.

use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use sqlx::mysql::MySqlPool;
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{Connection, FromRow};

/// A connection that was in use so lately is taken to be alive; others are asked before they are handed out.
const SURELY_ALIVE: Duration = Duration::from_secs(1);

#[derive(Serialize, FromRow)]
pub struct Quote {
    id: i32,
    words: String,
    author: String,
}

#[derive(Serialize, FromRow)]
pub struct Post {
    pub id: String,
    pub author_id: String,
    pub title: String,
    pub body: String,
    pub published: bool,
    pub created_at: String,
    pub updated_at: String,
}

/// Whether something may be a key: no column of keys is wider, and PostgreSQL has no text with a NUL in it.
pub fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.contains('\0')
}

struct Statements {
    quote: &'static str,
    post: &'static str,
    newest_published: &'static str,
    insert: &'static str,
}

const NUMBERED: Statements = Statements {
    quote: "select id, words, author from quotes where id = $1",
    post: "select id, author_id, title, body, published, created_at, updated_at from posts where id = $1",
    newest_published: "select id, author_id, title, body, published, created_at, updated_at from posts
                       where published = true order by created_at desc, id desc limit $1",
    insert: "insert into posts (id, author_id, title, body, published, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
};

/// MariaDB numbers no parameters.
const UNNUMBERED: Statements = Statements {
    quote: "select id, words, author from quotes where id = ?",
    post: "select id, author_id, title, body, published, created_at, updated_at from posts where id = ?",
    newest_published: "select id, author_id, title, body, published, created_at, updated_at from posts
                       where published = true order by created_at desc, id desc limit ?",
    insert: "insert into posts (id, author_id, title, body, published, created_at, updated_at)
             values (?, ?, ?, ?, ?, ?, ?)",
};

pub enum Database {
    Sqlite {
        reader: SqlitePool,
        /// One connection: SQLite lets one write at a time, and our own queue is fairer than its lock.
        writer: SqlitePool,
    },
    Postgres(PgPool),
    MariaDb(MySqlPool),
}

/// The same expression for each kind of pool, which are three types to the compiler.
macro_rules! on {
    ($database:expr, $side:ident, |$pool:ident, $statements:ident| $query:expr) => {
        match $database {
            Database::Sqlite { $side: $pool, .. } => {
                let $statements = &NUMBERED;
                $query
            }
            Database::Postgres($pool) => {
                let $statements = &NUMBERED;
                $query
            }
            Database::MariaDb($pool) => {
                let $statements = &UNNUMBERED;
                $query
            }
        }
    };
}

impl Database {
    pub async fn connect(url: &str, pool_size: u32) -> anyhow::Result<Self> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Self::connect_sqlite(url, pool_size).await?),
            Some("postgres" | "postgresql") => Ok(Self::Postgres(pool(pool_size).connect(url).await?)),
            Some("mysql" | "mariadb") => Ok(Self::MariaDb(pool(pool_size).connect(url).await?)),
            _ => bail!("DATABASE_URL begins with sqlite://, postgres:// or mysql://"),
        }
    }

    async fn connect_sqlite(url: &str, pool_size: u32) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        // There is no server that closes them, and opening one is dear.
        let pool = |size| {
            PoolOptions::new().max_connections(size).test_before_acquire(false).idle_timeout(None).max_lifetime(None)
        };
        let writer: SqlitePool = pool(1).connect_with(options.clone()).await?;
        let reader = match pool_size {
            1 => writer.clone(),
            _ => pool(pool_size - 1).connect_with(options).await?,
        };
        Ok(Self::Sqlite { reader, writer })
    }

    pub async fn quote(&self, id: i32) -> sqlx::Result<Quote> {
        on!(self, reader, |pool, sql| sqlx::query_as(sql.quote).bind(id).fetch_one(pool).await)
    }

    pub async fn post(&self, id: &str) -> sqlx::Result<Option<Post>> {
        on!(self, reader, |pool, sql| sqlx::query_as(sql.post).bind(id).fetch_optional(pool).await)
    }

    pub async fn newest_published(&self, limit: i64) -> sqlx::Result<Vec<Post>> {
        on!(self, reader, |pool, sql| sqlx::query_as(sql.newest_published).bind(limit).fetch_all(pool).await)
    }

    pub async fn insert(&self, post: &Post) -> sqlx::Result<()> {
        on!(self, writer, |pool, sql| {
            sqlx::query(sql.insert)
                .bind(&post.id)
                .bind(&post.author_id)
                .bind(&post.title)
                .bind(&post.body)
                .bind(post.published)
                .bind(&post.created_at)
                .bind(&post.updated_at)
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite { reader, writer } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
            Self::MariaDb(pool) => pool.close().await,
        }
    }
}

fn pool<DB: sqlx::Database>(size: u32) -> PoolOptions<DB> {
    // By itself sqlx asks each connection each time, which costs a journey to the database for every query.
    PoolOptions::new().max_connections(size).test_before_acquire(false).before_acquire(
        |connection: &mut DB::Connection, meta| {
            Box::pin(async move {
                if meta.idle_for > SURELY_ALIVE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        },
    )
}
