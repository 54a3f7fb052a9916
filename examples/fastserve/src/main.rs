#![doc = include_str!("../README.md")]

mod api;
mod report;
mod store;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use mainstay::http::Server;
use mainstay::kernel::{Clock, Random};
use mainstay::prelude::*;
use mainstay::{PREFIX, SettingsBuilder};

use crate::report::Reports;

/// How many computations wait for a core before the next is turned away.
const QUEUE: usize = 256;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn app() -> App {
    App::new().info("FastServe", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION")).domain(domain())
}

fn domain() -> Domain {
    Domain::new("fastserve")
        .migrations(migrations!("fastserve", "0001_quotes"))
        .endpoint(api::health)
        .endpoint(api::compute)
        .endpoint(api::read_report)
        .endpoint(api::random_quote)
        .provide(|boot: Boot| async move {
            let work = Work::per_core(QUEUE);
            boot.put(work.clone());
            boot.put(Reports::new(work));
            Ok(())
        })
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fastserve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = SettingsBuilder::new(app().sections());
    let ours = |(name, _): &(std::ffi::OsString, _)| name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    let text = |words: std::ffi::OsString| words.into_string().map_err(|_| "a variable is not UTF-8; set it again");
    let variables = std::env::vars_os().filter(ours).map(|(name, value)| Ok((text(name)?, text(value)?)));
    builder.environment(variables.collect::<Result<Vec<_>, &str>>()?)?;
    let settings = builder.build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.server.lane_count())
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let _log = mainstay::telemetry::init(&settings.log.filter, mainstay::telemetry::Format::Text)?;
        let running = app().start(settings, Clock::system(), Random::os()).await?;
        let server = Server::bind(running.api.clone())?;
        let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        println!("  API        http://{}", server.address());
        server
            .run(async {
                // Either signal ends it.
                tokio::select! { _ = stop.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
            })
            .await;
        running.store.close().await;
        Ok(())
    })
}
