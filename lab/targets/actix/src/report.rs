//! A report that takes a while to make, and where it is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::error::BlockingError;
use actix_web::web;
use chrono::{SecondsFormat, Utc};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, RedisResult};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::RwLock;

use crate::settings::CacheKind;

const KEPT_FOR: Duration = Duration::from_secs(60);
const KEY: &str = "fastserve/report";
/// Numbers up to this one take less time than a hop to another thread is worth.
const QUICK: u8 = 22;

/// Computed beside the worker where it takes long, so that its other requests go on.
pub async fn fibonacci(n: u8) -> Result<u64, BlockingError> {
    fn recursion(n: u8) -> u64 {
        if n < 2 { n.into() } else { recursion(n - 1) + recursion(n - 2) }
    }
    if n <= QUICK { Ok(recursion(n)) } else { web::block(move || recursion(n)).await }
}

/// RFC 3339 in UTC with six digits of a second, which sorts as time does.
pub fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Report {
    answer: u64,
    made_at: String,
}

impl Report {
    async fn make() -> Result<Self, BlockingError> {
        Ok(Self { answer: fibonacci(32).await?, made_at: now() })
    }
}

/// In the process's memory, for all workers.
type Memory = Arc<RwLock<Option<(Report, Instant)>>>;

/// What each worker's [`ReportCache`] is made from.
#[derive(Clone)]
pub enum ReportSource {
    None,
    Memory(Memory),
    Redis(Client),
}

impl ReportSource {
    pub async fn open(kind: &CacheKind) -> RedisResult<Self> {
        Ok(match kind {
            CacheKind::None => Self::None,
            CacheKind::Memory => Self::Memory(Memory::default()),
            CacheKind::Redis { url } => {
                let client = Client::open(url.as_str())?;
                // Not kept: only so that a wrong address is noticed at the start.
                client.get_multiplexed_async_connection().await?;
                Self::Redis(client)
            }
        })
    }

    pub fn for_worker(&self) -> ReportCache {
        match self {
            Self::None => ReportCache::None,
            Self::Memory(memory) => ReportCache::Memory(memory.clone()),
            Self::Redis(client) => {
                // Six times, with longer and longer pauses, is its default: requests would wait that long without Redis.
                let config = ConnectionManagerConfig::new().set_number_of_retries(1);
                let manager = ConnectionManager::new_lazy_with_config(client.clone(), config);
                ReportCache::Redis(manager.expect("only subscriptions can be configured wrongly"))
            }
        }
    }
}

pub enum ReportCache {
    None,
    Memory(Memory),
    /// One connection, on which the commands of many requests follow each other. It mends itself.
    Redis(ConnectionManager),
}

impl ReportCache {
    pub async fn get(&self) -> Result<Report, BlockingError> {
        match self {
            Self::None => Report::make().await,
            Self::Memory(memory) => from_memory(memory).await,
            Self::Redis(connection) => from_redis(connection.clone()).await,
        }
    }
}

async fn from_memory(memory: &Memory) -> Result<Report, BlockingError> {
    let fresh = |kept: &Option<(Report, Instant)>| match kept {
        Some((report, since)) if since.elapsed() < KEPT_FOR => Some(report.clone()),
        _ => None,
    };
    if let Some(report) = fresh(&*memory.read().await) {
        return Ok(report);
    }
    // One makes it, the others wait here and find it made.
    let mut memory = memory.write().await;
    if let Some(report) = fresh(&memory) {
        return Ok(report);
    }
    let report = Report::make().await?;
    *memory = Some((report.clone(), Instant::now()));
    Ok(report)
}

async fn from_redis(mut redis: ConnectionManager) -> Result<Report, BlockingError> {
    let kept: RedisResult<Option<String>> = redis.get(KEY).await;
    match kept {
        Ok(Some(text)) => {
            if let Ok(report) = serde_json::from_str(&text) {
                return Ok(report);
            }
        }
        Ok(None) => {}
        // Slower, but an answer.
        Err(error) => log::warn!("Redis: {error}"),
    }
    let report = Report::make().await?;
    let written: RedisResult<()> = redis.set_ex(KEY, json!(report).to_string(), KEPT_FOR.as_secs()).await;
    if let Err(error) = written {
        log::warn!("Redis: {error}");
    }
    Ok(report)
}
