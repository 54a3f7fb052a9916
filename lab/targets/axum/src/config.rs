//! Settings, from environment variables.

use std::env;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::thread;

use anyhow::{Context, bail};

pub struct Config {
    pub host: String,
    pub port: u16,
    pub workers: usize,
    pub database_url: Option<String>,
    pub pool_size: u32,
    pub cache: CacheConfig,
    pub gzip: bool,
    pub token_secret: String,
}

pub enum CacheConfig {
    None,
    Memory,
    Redis(String),
}

impl Config {
    pub fn from_env() -> anyhow::Result<Self> {
        let cache = match text("CACHE").as_deref() {
            None | Some("none") => CacheConfig::None,
            Some("memory") => CacheConfig::Memory,
            Some("redis") => CacheConfig::Redis(text("REDIS_URL").context("CACHE=redis needs REDIS_URL")?),
            Some(other) => bail!("CACHE is none, memory or redis, not {other}"),
        };
        let gzip = match text("GZIP").as_deref() {
            None | Some("off") => false,
            Some("on") => true,
            Some(other) => bail!("GZIP is on or off, not {other}"),
        };
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(Self {
            host: text("HOST").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: parsed("PORT")?.unwrap_or(8080),
            workers: parsed::<NonZeroUsize>("WORKERS")?.map_or(cores, NonZeroUsize::get),
            database_url: text("DATABASE_URL"),
            pool_size: parsed("POOL_SIZE")?.unwrap_or(10).max(1),
            cache,
            gzip,
            token_secret: text("TOKEN_SECRET").context("TOKEN_SECRET is not set")?,
        })
    }
}

/// What is empty counts as not set.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn parsed<T: FromStr<Err: Display>>(name: &str) -> anyhow::Result<Option<T>> {
    match text(name) {
        None => Ok(None),
        Some(value) => match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => bail!("{name}={value}: {error}"),
        },
    }
}
