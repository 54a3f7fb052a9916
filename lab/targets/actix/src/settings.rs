//! What the environment says.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};

pub struct Settings {
    pub host: String,
    pub port: u16,
    pub workers: usize,
    pub database_url: Option<String>,
    pub pool_size: u32,
    pub cache: CacheKind,
    pub gzip: bool,
    pub http: Http,
    pub token_secret: String,
}

pub enum CacheKind {
    None,
    Memory,
    Redis { url: String },
}

pub enum Http {
    /// HTTP/1.1 alone.
    One,
    /// HTTP/2 by prior knowledge, and HTTP/1.1 beside it.
    Two,
}

impl Settings {
    pub fn from_env() -> Result<Self> {
        let cache = match var("CACHE", "none").as_str() {
            "none" => CacheKind::None,
            "memory" => CacheKind::Memory,
            "redis" => CacheKind::Redis { url: needed("REDIS_URL")? },
            other => bail!("CACHE={other}: none, memory or redis"),
        };
        let gzip = match var("GZIP", "off").as_str() {
            "on" => true,
            "off" => false,
            other => bail!("GZIP={other}: on or off"),
        };
        let http = match var("HTTP", "1").as_str() {
            "1" => Http::One,
            "2" => Http::Two,
            other => bail!("HTTP={other}: 1 or 2"),
        };
        let cores = available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            host: var("HOST", "127.0.0.1"),
            port: var("PORT", "8080").parse().context("PORT")?,
            workers: var("WORKERS", &cores.to_string()).parse::<NonZero<usize>>().context("WORKERS")?.get(),
            database_url: needed("DATABASE_URL").ok(),
            pool_size: var("POOL_SIZE", "10").parse::<NonZero<u32>>().context("POOL_SIZE")?.get(),
            cache,
            gzip,
            http,
            token_secret: needed("TOKEN_SECRET")?,
        })
    }
}

fn needed(name: &str) -> Result<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).with_context(|| format!("{name} is not set"))
}

fn var(name: &str, default: &str) -> String {
    needed(name).unwrap_or_else(|_| default.to_owned())
}
