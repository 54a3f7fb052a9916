//! Until when the statement that runs on this thread may take. SQLite asks through its progress and busy handlers, which
//! it calls on the thread that runs the statement.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::Ctx;

use crate::StoreError;

/// The end of one operation's time.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    until: Instant,
    /// Until when the statement itself may take, where that is sooner.
    budget: Option<Instant>,
    gone: Option<Gone>,
}

/// Set when the caller does not wait for the result any more. Shared by the caller, whose guard sets it, and the thread
/// that does the work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gone(Arc<AtomicBool>);

/// Sets a [`Gone`] when it is dropped: held by the caller's future while it waits.
pub(crate) struct Waiting(Gone);

impl Gone {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn unless_waiting(&self) -> Waiting {
        Waiting(self.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

/// Longer than any operation, and short enough to be added to any instant.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Interrupt {
    /// The deadline of an operation. Asks tokio's clock, which a test may have stopped, for what is left.
    pub(crate) fn of(ctx: &Ctx, gone: Option<Gone>) -> Self {
        Self { until: Instant::now() + ctx.remaining().min(FOREVER), budget: None, gone }
    }

    /// The same for a read that begins now.
    pub(crate) fn of_a_scan(self, budget: Option<Duration>) -> Self {
        let budget = budget.map(|budget| Instant::now() + budget).filter(|end| *end < self.until);
        Self { budget, ..self }
    }

    pub(crate) fn is_up(&self) -> bool {
        Instant::now() >= self.budget.unwrap_or(self.until) || self.gone.as_ref().is_some_and(Gone::is_set)
    }

    /// What is said of a read that was ended.
    pub(crate) fn explain(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Timeout if self.budget.is_some() => StoreError::ScanTimeout,
            error => error,
        }
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// Runs `work`, whose statements are interrupted at the limit.
pub(crate) fn during<T>(limit: Interrupt, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Interrupt>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(limit)));
    work()
}

/// Whether the statement on this thread has to stop.
pub(crate) fn is_up() -> bool {
    CURRENT.with_borrow(|limit| limit.as_ref().is_some_and(Interrupt::is_up))
}
