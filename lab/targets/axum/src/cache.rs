//! A report that is dear to make, kept for a minute.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use moka::future::Cache as Moka;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client};
use serde::{Deserialize, Serialize};

use crate::config::CacheConfig;
use crate::{fibonacci, posts};

const KEPT_FOR: Duration = Duration::from_secs(60);
const KEY: &str = "fastserve:report";

#[derive(Clone, Serialize, Deserialize)]
pub struct Report {
    answer: u64,
    made_at: String,
}

impl Report {
    async fn make() -> anyhow::Result<Self> {
        Ok(Self { answer: fibonacci::compute(32).await?, made_at: posts::now() })
    }
}

/// Where the report is kept.
pub enum Cache {
    None,
    Memory(Moka<(), Report>),
    /// One connection, shared by all: what several requests ask goes out together. It is opened anew when it breaks.
    Redis(ConnectionManager),
}

impl Cache {
    pub async fn open(config: &CacheConfig) -> anyhow::Result<Self> {
        match config {
            CacheConfig::None => Ok(Self::None),
            CacheConfig::Memory => Ok(Self::Memory(Moka::builder().max_capacity(1).time_to_live(KEPT_FOR).build())),
            CacheConfig::Redis(url) => {
                let client = Client::open(url.as_str()).context("REDIS_URL cannot be used")?;
                // By itself it would try for a quarter of a minute, while the request waits.
                let config = ConnectionManagerConfig::new().set_number_of_retries(1);
                let connection = ConnectionManager::new_with_config(client, config).await;
                Ok(Self::Redis(connection.context("cannot connect to Redis")?))
            }
        }
    }

    pub async fn report(&self) -> anyhow::Result<Report> {
        match self {
            Self::None => Report::make().await,
            // Whoever comes while it is made waits for the same one.
            Self::Memory(cache) => cache
                .try_get_with((), Report::make())
                .await
                .map_err(|error: Arc<anyhow::Error>| anyhow::anyhow!("{error:#}")),
            Self::Redis(connection) => report_in_redis(connection.clone()).await,
        }
    }
}

/// Redis saves work; without it the work is done.
async fn report_in_redis(mut connection: ConnectionManager) -> anyhow::Result<Report> {
    match connection.get::<_, Option<String>>(KEY).await {
        Ok(Some(kept)) => {
            if let Ok(report) = serde_json::from_str(&kept) {
                return Ok(report);
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "cannot ask Redis"),
    }
    let report = Report::make().await?;
    let kept = serde_json::to_string(&report)?;
    if let Err(error) = connection.set_ex::<_, _, ()>(KEY, kept, KEPT_FOR.as_secs()).await {
        tracing::warn!(%error, "cannot write to Redis");
    }
    Ok(report)
}
