//! FastServe on Actix Web.

mod auth;
mod compress;
mod general;
mod posts;
mod problem;
mod report;
mod settings;
mod store;

use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, HttpServer, web};
use anyhow::Context;

use crate::auth::Tokens;
use crate::problem::Problem;
use crate::report::{ReportCache, ReportSource};
use crate::settings::{Http, Settings};
use crate::store::{Database, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a worker's handlers share.
struct State {
    /// None where no `DATABASE_URL` was given.
    store: Option<Box<dyn Store>>,
    reports: ReportCache,
    tokens: Tokens,
}

impl State {
    fn store(&self) -> Result<&dyn Store, Problem> {
        self.store.as_deref().ok_or(Problem::NoDatabase)
    }
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("info"));
    let settings = Settings::from_env()?;

    let database = match &settings.database_url {
        Some(url) => {
            let opened = Database::open(url, settings.pool_size, settings.workers).await;
            Some(opened.context("the database cannot be reached")?)
        }
        None => None,
    };
    let reports = ReportSource::open(&settings.cache).await.context("the cache cannot be reached")?;
    let tokens = Tokens::new(&settings.token_secret)?;

    // Called once in each worker. A worker has a runtime of its own, and connections are driven by the runtime that
    // opened them: so each worker has its own, and none ever waits for a neighbour.
    let at_end = database.clone();
    let gzip = settings.gzip;
    let app = move || {
        let state = State {
            store: database.as_ref().map(Database::for_worker),
            reports: reports.for_worker(),
            tokens: tokens.clone(),
        };
        App::new()
            .wrap(Condition::new(gzip, from_fn(compress::gzip)))
            .app_data(web::Data::new(state))
            .app_data(web::JsonConfig::default().error_handler(problem::json))
            .app_data(web::QueryConfig::default().error_handler(problem::query))
            .service(general::health)
            .service(general::compute)
            .service(general::cached_report)
            .service(general::quote)
            .service(general::metrics)
            .service(posts::list)
            .service(posts::create)
            .service(posts::find)
            .default_service(web::to(problem::nowhere))
    };

    let server = HttpServer::new(app)
        .workers(settings.workers)
        // What computes for long goes to these: one beside each worker, so that no more cores are used than allowed.
        .worker_max_blocking_threads(1)
        // Seconds for requests that were begun before a SIGTERM; by itself it would be thirty.
        .shutdown_timeout(8);
    let address = (settings.host.as_str(), settings.port);
    let server = match settings.http {
        Http::One => server.bind(address),
        Http::Two => server.bind_auto_h2c(address),
    };
    server.with_context(|| format!("cannot listen on {}:{}", settings.host, settings.port))?.run().await?;

    if let Some(database) = at_end {
        database.close().await;
    }
    Ok(())
}
