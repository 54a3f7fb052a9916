use mainstay::prelude::*;
use mainstay::web::{Caller, User};

use crate::report::{Report, ReportError, Reports};
use crate::store::{self, Quote};

/// Up to here a number is found in some tens of microseconds, which is what a worker can spare.
const LARGEST_ON_THE_WORKER: u32 = 20;

/// Which number to compute.
#[input]
#[derive(Debug)]
pub(crate) struct ComputeQuery {
    /// Which Fibonacci number, 0–40; 40 takes a core for some tenths of a second.
    #[check(range(min = 0, max = 40))]
    n: u32,
}

/// A number that was computed.
#[view]
#[derive(Debug)]
pub(crate) struct ComputedView {
    /// Which one.
    n: u32,
    /// The number.
    fibonacci: u64,
}

/// Say that the server answers.
#[get("/api/health", root)]
pub(crate) async fn health() -> Result<Text<&'static str>, StoreError> {
    Ok(Text("ok"))
}

/// Compute a Fibonacci number.
///
/// By the naive recursion, because it is meant to be work. A large one is computed away from the workers; when the machine
/// has no room for it, that is said at once.
#[get("/api/compute", root)]
pub(crate) async fn compute(
    ctx: Ctx,
    work: CpuPool,
    Query(ComputeQuery { n }): Query<ComputeQuery>,
) -> Result<Json<ComputedView>, CpuPoolError> {
    let fibonacci = match n {
        0..=LARGEST_ON_THE_WORKER => fibonacci(n),
        _ => work.run(&ctx, move || fibonacci(n)).await?,
    };
    Ok(Json(ComputedView { n, fibonacci }))
}

/// Read a report that is slow to make.
///
/// The first to ask waits for it, and so do all who ask meanwhile; for the next minute it comes from the cache.
#[get("/api/cache", root)]
pub(crate) async fn read_report(ctx: Ctx, reports: Reports) -> Result<Json<Report>, ReportError> {
    Ok(Json(reports.get(&ctx).await?))
}

/// Read one of the thousand quotes, any one.
#[get("/api/db", root)]
pub(crate) async fn random_quote(ctx: Ctx, database: Database) -> Result<Json<Quote>, StoreError> {
    let id = i64::from(u16::from_le_bytes(ctx.random().bytes())) % store::QUOTES + 1;
    Ok(Json(store::get_quote(&database.read(&ctx), id).await?))
}

/// Say that the caller may call.
///
/// Their token is good, and their allowance is not used up: what stands before every operation, and nothing behind it.
#[get("/api/caller", root)]
pub(crate) async fn check_caller(_: Caller<User>) -> Result<Text<&'static str>, StoreError> {
    Ok(Text("ok"))
}

/// The n-th Fibonacci number, the long way.
pub(crate) fn fibonacci(n: u32) -> u64 {
    match n {
        0 | 1 => u64::from(n),
        _ => fibonacci(n - 1) + fibonacci(n - 2),
    }
}
