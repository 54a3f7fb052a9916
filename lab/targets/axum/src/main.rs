//! FastServe on Axum.

mod auth;
mod cache;
mod config;
mod database;
mod error;
mod extract;
mod fibonacci;
mod posts;
mod routes;
mod shutdown;

use std::future::IntoFuture;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use mimalloc::MiMalloc;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::auth::Tokens;
use crate::cache::Cache;
use crate::config::Config;
use crate::database::Database;

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

/// How long requests that were begun have to end once we are told to stop.
const GRACE: Duration = Duration::from_secs(8);

/// What every handler can ask for.
pub struct AppState {
    /// None where no `DATABASE_URL` was given.
    pub database: Option<Database>,
    pub cache: Cache,
    pub tokens: Tokens,
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stdout().is_terminal()).init();

    let config = Config::from_env()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        // What computes for long goes to these threads: never more of them than cores we may use.
        .max_blocking_threads(config.workers)
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    let result = runtime.block_on(run(config));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run(config: Config) -> anyhow::Result<()> {
    let database = match &config.database_url {
        Some(url) => Some(Database::connect(url, config.pool_size).await.context("cannot connect to the database")?),
        None => None,
    };
    let cache = Cache::open(&config.cache).await.context("cannot open the cache")?;
    let state = Arc::new(AppState { database, cache, tokens: Tokens::new(&config.token_secret)? });
    let router = routes::router(state.clone(), config.gzip)?;

    let listener = TcpListener::bind((config.host.as_str(), config.port))
        .await
        .with_context(|| format!("cannot listen on {}:{}", config.host, config.port))?
        .tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
        });
    tracing::info!(host = config.host, port = config.port, "listening");

    tokio::select! {
        result = axum::serve(listener, router).with_graceful_shutdown(shutdown::signal()).into_future() => {
            result.context("the server failed")?;
        }
        // Whoever holds a connection open must not keep us from ending.
        () = async { shutdown::signal().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("some requests did not end in time");
        }
    }
    if let Some(database) = &state.database {
        // Bounded too: it waits for connections that are still in use.
        _ = tokio::time::timeout(Duration::from_millis(500), database.close()).await;
    }
    Ok(())
}
