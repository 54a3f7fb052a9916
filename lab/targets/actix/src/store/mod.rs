//! Where quotes and posts are.

mod mariadb;
mod postgres;
mod sqlite;

use anyhow::{Result, bail};
use async_trait::async_trait;
use serde::Serialize;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, FromRow};

use self::mariadb::MariaDb;
use self::postgres::Postgres;
use self::sqlite::Sqlite;

#[derive(Serialize, FromRow)]
pub struct Quote {
    pub id: i32,
    pub words: String,
    pub author: String,
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

/// The columns of ids have 64 characters, and text that is stored has no U+0000.
pub fn fits_a_key(id: &str) -> bool {
    let length = id.chars().count();
    length > 0 && length <= 64 && !id.contains('\0')
}

/// What the handlers ask of a database, whichever it is.
#[async_trait]
pub trait Store: Send + Sync {
    async fn quote(&self, id: i32) -> sqlx::Result<Quote>;
    async fn insert(&self, post: &Post) -> sqlx::Result<()>;
    async fn find(&self, id: &str) -> sqlx::Result<Option<Post>>;
    /// Published posts, newest first.
    async fn newest(&self, limit: u8) -> sqlx::Result<Vec<Post>>;
}

/// What each worker's [`Store`] is made from.
#[derive(Clone)]
pub enum Database {
    Sqlite(Sqlite),
    /// How to connect, and how many connections each worker may hold.
    Postgres(PgConnectOptions, u32),
    MariaDb(MySqlConnectOptions, u32),
}

impl Database {
    /// Fails where nobody answers, before any worker is started.
    pub async fn open(url: &str, connections: u32, workers: usize) -> Result<Self> {
        let share = (connections / u32::try_from(workers)?).max(1);
        Ok(match url.split(':').next() {
            Some("sqlite") => Self::Sqlite(Sqlite::open(url, connections).await?),
            Some("postgres" | "postgresql") => {
                let options: PgConnectOptions = url.parse()?;
                options.connect().await?.close().await?;
                Self::Postgres(options, share)
            }
            Some("mysql" | "mariadb") => {
                let options: MySqlConnectOptions = url.parse()?;
                options.connect().await?.close().await?;
                Self::MariaDb(options, share)
            }
            _ => bail!("DATABASE_URL must begin with sqlite:, postgres: or mysql:"),
        })
    }

    /// To be called in a worker: what connects to a server is driven by the runtime of whoever calls.
    pub fn for_worker(&self) -> Box<dyn Store> {
        match self {
            Self::Sqlite(sqlite) => Box::new(sqlite.clone()),
            Self::Postgres(options, share) => Box::new(Postgres::connect(options.clone(), *share)),
            Self::MariaDb(options, share) => Box::new(MariaDb::connect(options.clone(), *share)),
        }
    }

    /// After the workers have ended, and their connections with them.
    pub async fn close(&self) {
        if let Self::Sqlite(sqlite) = self {
            sqlite.close().await;
        }
    }
}
