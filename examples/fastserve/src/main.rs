#![doc = include_str!("../README.md")]

mod api;
mod notes;
mod report;
mod store;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use mainstay::prelude::*;

use crate::report::Reports;

/// How many computations wait for a core before the next is turned away.
const QUEUE: usize = 256;

#[global_allocator]
static ALLOCATOR: mainstay::Allocator = mainstay::Allocator;

fn main() -> ExitCode {
    mainstay::run(app)
}

fn app() -> App {
    App::new()
        .info("FastServe", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
        .domain(auth::domain())
        .domain(users::domain())
        .domain(domain())
        .domain(notes::domain())
}

fn domain() -> Domain {
    Domain::new("fastserve")
        .migrations(migrations!("fastserve", "0001_quotes"))
        .endpoint(api::health)
        .endpoint(api::compute)
        .endpoint(api::read_report)
        .endpoint(api::random_quote)
        .endpoint(api::check_caller)
        .provide(|boot: Boot| async move {
            let work = CpuPool::per_core(QUEUE)?;
            boot.put(work.clone());
            boot.put(Reports::new(&boot, work)?);
            Ok(())
        })
}
