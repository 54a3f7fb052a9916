use std::time::Duration;

use mainstay::cache::{CacheConfig, Cached, Key, Unanswered};
use mainstay::prelude::*;

use crate::api::fibonacci;

/// Which number the report holds: some tens of milliseconds of work.
const HARD: u32 = 32;

/// How long a report is good, or up to a tenth less.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(60);

/// A report that takes a while to make.
#[view]
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// What was found out: the 32nd Fibonacci number.
    answer: u64,
    /// When; it is made anew after a minute.
    made_at: Time,
}

/// Reports, kept while they are good, on every node that shares the Redis of `cache.url`. However many ask at once, one
/// of them makes it.
#[derive(Clone)]
pub(crate) struct Reports {
    kept: Cached<(u64, Time)>,
    work: CpuPool,
}

impl Service for Reports {}

/// Why there is no report.
#[derive(Debug, ApiError)]
pub(crate) enum ReportError {
    /// Others make it, and are not done.
    #[api(Unavailable, "The report takes too long right now. Try again in a moment.")]
    ReportSlow,
    #[api(from)]
    CpuPool(CpuPoolError),
}

impl From<Unanswered> for ReportError {
    fn from(_: Unanswered) -> Self {
        Self::ReportSlow
    }
}

impl Reports {
    pub(crate) fn new(boot: &Boot, work: CpuPool) -> Result<Self, StartError> {
        let config = boot.cache().configure(CacheConfig::new("report").keep(GOOD_FOR));
        Ok(Self { kept: config.map_err(|error| StartError::new(error.to_string()))?, work })
    }

    pub(crate) async fn get(&self, ctx: &Ctx) -> Result<Report, ReportError> {
        let make = || async {
            let answer = self.work.run(ctx, || fibonacci(HARD)).await?;
            Ok::<_, ReportError>(Some((answer, ctx.now())))
        };
        let made = self.kept.get(ctx, &Key::of("report"), make).await?.ok_or(ReportError::ReportSlow)?;
        Ok(Report { answer: made.0, made_at: made.1 })
    }
}
