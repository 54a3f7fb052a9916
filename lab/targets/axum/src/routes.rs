//! What is answered where.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_process::Collector;
use serde::{Deserialize, Serialize};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use validator::Validate;

use crate::cache::Report;
use crate::database::Quote;
use crate::error::Error;
use crate::extract::ValidQuery;
use crate::{AppState, fibonacci, posts};

const QUOTES: i32 = 1000;

pub fn router(state: Arc<AppState>, gzip: bool) -> anyhow::Result<Router> {
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let process = Collector::default();
    process.describe();

    let router = Router::new()
        .route("/api/health", get(async || "ok"))
        .route("/api/compute", get(compute))
        .route("/api/cache", get(cache))
        .route("/api/db", get(quote))
        .route("/api/v1/posts", get(posts::list).post(posts::create))
        .route("/api/v1/posts/{id}", get(posts::get))
        .route(
            "/metrics",
            get(async move || {
                process.collect();
                prometheus.render()
            }),
        )
        .fallback(async || Error::NotFound)
        .with_state(state);
    if !gzip {
        return Ok(router);
    }
    Ok(router.layer(CompressionLayer::new().quality(CompressionLevel::Precise(6)).compress_when(SizeAbove::new(1024))))
}

#[derive(Deserialize, Validate)]
struct Compute {
    #[validate(range(max = 40, message = "n is 0 to 40"))]
    n: u8,
}

#[derive(Serialize)]
struct Computed {
    n: u8,
    fibonacci: u64,
}

async fn compute(ValidQuery(Compute { n }): ValidQuery<Compute>) -> Result<Json<Computed>, Error> {
    Ok(Json(Computed { n, fibonacci: fibonacci::compute(n).await? }))
}

async fn cache(State(state): State<Arc<AppState>>) -> Result<Json<Report>, Error> {
    Ok(Json(state.cache.report().await?))
}

async fn quote(State(state): State<Arc<AppState>>) -> Result<Json<Quote>, Error> {
    let database = state.database.as_ref().ok_or(Error::NoDatabase)?;
    Ok(Json(database.quote(fastrand::i32(1..=QUOTES)).await?))
}
