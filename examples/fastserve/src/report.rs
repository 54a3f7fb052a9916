use std::sync::Arc;
use std::time::Duration;

use mainstay::prelude::*;
use quick_cache::sync::Cache;

use crate::api::fibonacci;

/// Which number the report holds: some tens of milliseconds of work.
const HARD: u32 = 32;

/// How long a report is good.
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

/// Reports, kept in memory while they are good. However many ask at once, one of them makes it.
#[derive(Clone)]
pub(crate) struct Reports {
    kept: Arc<Cache<(), Report>>,
    work: Work,
}

impl Service for Reports {}

impl Reports {
    pub(crate) fn new(work: Work) -> Self {
        Self { kept: Arc::new(Cache::new(1)), work }
    }

    pub(crate) async fn get(&self, ctx: &Ctx) -> Result<Report, WorkError> {
        let now = ctx.now();
        self.kept.remove_if(&(), |report| report.made_at.plus(GOOD_FOR) <= now);
        match ctx.within(self.kept.get_value_or_guard_async(&())).await.map_err(|_| WorkError::WorkBusy)? {
            Ok(report) => Ok(report),
            Err(turn) => {
                let report = Report { answer: self.work.run(ctx, || fibonacci(HARD)).await?, made_at: now };
                // That it was taken away meanwhile only means that the next one makes it again.
                let _ = turn.insert(report.clone());
                Ok(report)
            }
        }
    }
}
