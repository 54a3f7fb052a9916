//! What the operations listener answers: `/metrics`, for Prometheus (its text format 0.0.4), and health. For those who look
//! after the server, not for its callers: hence a listener of its own.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use cache::{Backend, Cache, ConfigStats};
use http::header::{CONTENT_TYPE, HeaderValue};
use kernel::{Clock, Random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Store;
use web::{Api, ApiBuilder, Body, BuildError, Endpoint, Method, Response, ServerSettings};

use crate::{RunningApp, Settings};

/// The listener for metrics and health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OperationsSettings {
    /// Address and port for `/metrics` and the health checks. There is no authentication: anyone who can reach this
    /// port can read them. Port 0 selects a free port; the server shows it at startup.
    pub listen: SocketAddr,
}

impl Default for OperationsSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }
}

/// How the operations listener is served.
pub fn server(settings: &Settings) -> ServerSettings {
    ServerSettings { listen: settings.operations.listen, docs: false, max_connections: 64, ..ServerSettings::default() }
}

/// The operations listener's own API.
///
/// # Errors
/// Never for what we put into it.
pub fn api(running: &RunningApp, clock: Clock, random: Random) -> Result<Arc<Api>, BuildError> {
    let watched =
        Watched { store: running.store.clone(), cache: running.cache().clone(), backend: running.backend().clone() };
    let mut api = ApiBuilder::new(server(&running.settings), clock, random);
    let metrics = Endpoint::new(
        Method::Get,
        "/metrics",
        "get_metrics",
        "Metrics, for Prometheus.",
        |op| op.success_as(200, "OK", TEXT, serde_json::json!({ "type": "string" })),
        Arc::new(move |_| {
            let mut response = Response::new(Body::new(watched.text()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
            Box::pin(std::future::ready(Ok(response)))
        }),
    );
    api.endpoint("operations", metrics.at_root());
    let asked = running.api.clone();
    api.ready_check(Arc::new(move |ctx| {
        let api = asked.clone();
        Box::pin(async move { api.is_ready(&ctx).await })
    }));
    api.build()
}

/// Prometheus's text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is to tell of.
struct Watched {
    store: Store,
    cache: Cache,
    backend: Backend,
}

/// A family of metrics: its name, its type, what it is.
type Family = (&'static str, &'static str, &'static str);

impl Watched {
    fn text(&self) -> String {
        let mut text = String::with_capacity(4096);
        let stats = self.cache.stats();
        let each = |text: &mut String, family: Family, of: fn(&ConfigStats) -> u64| {
            head(text, family);
            for config in &stats.configs {
                line(text, family.0, &format!("cache=\"{}\"", config.name), of(config));
            }
        };
        let hits =
            ("mainstay_cache_hits_total", "counter", "Values that were found, by where: in memory, or in Redis.");
        head(&mut text, hits);
        for config in &stats.configs {
            for (layer, count) in [("local", config.hits_local), ("shared", config.hits_shared)] {
                line(&mut text, hits.0, &format!("cache=\"{}\",layer=\"{layer}\"", config.name), count);
            }
        }
        let counter = |name, what| (name, "counter", what);
        let gauge = |name, what| (name, "gauge", what);
        each(
            &mut text,
            counter("mainstay_cache_stale_hits_total", "Old values served while a new one was loaded."),
            |p| p.hits_stale,
        );
        each(&mut text, counter("mainstay_cache_misses_total", "Values that were not in this node's memory."), |p| {
            p.misses
        });
        each(&mut text, counter("mainstay_cache_loads_total", "Loads from the database."), |p| p.loads);
        each(&mut text, counter("mainstay_cache_load_errors_total", "Loads that failed."), |p| p.load_errors);
        let seconds = counter("mainstay_cache_load_seconds_total", "How long all loads took together.");
        head(&mut text, seconds);
        for config in &stats.configs {
            let (whole, rest) = (config.load_time_us_sum / 1_000_000, config.load_time_us_sum % 1_000_000);
            line(&mut text, seconds.0, &format!("cache=\"{}\"", config.name), format_args!("{whole}.{rest:06}"));
        }
        each(&mut text, counter("mainstay_cache_waits_total", "Requests that waited for another's load."), |p| p.waits);
        each(&mut text, counter("mainstay_cache_evictions_total", "Values pushed out to make room."), |p| p.evictions);
        each(
            &mut text,
            counter("mainstay_cache_refused_fills_total", "Loaded values not kept, as what they show had changed."),
            |p| p.refused_fills,
        );
        each(&mut text, gauge("mainstay_cache_entries", "Values in this node's memory."), |p| p.entries);
        each(&mut text, gauge("mainstay_cache_bytes", "What they weigh."), |p| p.bytes);
        let asked = self.backend.asked();
        for (family, value) in [
            (
                gauge("mainstay_cache_undelivered", "Changes that Redis has not heard of yet."),
                stats.pending_invalidations as u64,
            ),
            (
                gauge("mainstay_redis_up", "Whether Redis answers; 1 where there is none."),
                u64::from(self.backend.is_there()),
            ),
            (counter("mainstay_redis_commands_total", "What Redis was asked."), asked.asked),
            (counter("mainstay_redis_failures_total", "What of it was not done, or not for certain."), asked.failed),
            (counter("mainstay_redis_timeouts_total", "What of it had no answer in time."), asked.timeouts),
            (
                counter("mainstay_store_reruns_total", "Transactions that PostgreSQL asked to be run again."),
                self.store.reruns(),
            ),
        ] {
            head(&mut text, family);
            line(&mut text, family.0, "", value);
        }
        text
    }
}

fn head(text: &mut String, (name, kind, what): Family) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# HELP {name} {what}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}
