use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::cache::Inner;
use super::key::Target;
use super::ledger::Open;

/// Something is being changed: nothing of it is kept until this is done. Dropped without [`Changing::done`], as when the
/// caller goes away or does not know whether its commit landed, it forgets at once and keeps nothing for
/// [`HOLD`](super::HOLD), because the commit may still land.
#[must_use = "dropped, nothing of it is kept for ten seconds"]
pub struct Changing {
    inner: Arc<Inner>,
    targets: Arc<[Target]>,
    open: Option<Open>,
    deadline: Instant,
}

impl fmt::Debug for Changing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changing").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl Changing {
    /// Here it has begun before anything is waited for: whoever drops the future has a change that may have begun.
    pub(crate) async fn begin(inner: Arc<Inner>, targets: Vec<Target>, deadline: Instant) -> Self {
        let open = Some(inner.ledger.open(&targets));
        Self { inner, targets: targets.into(), open, deadline }
    }

    /// It is committed, or rolled back for certain. When this returns, it is forgotten on this node, and the others have
    /// been told, or will be.
    pub async fn done(mut self) {
        let _ = self.deadline;
        if let Some(open) = self.open.take() {
            self.inner.ledger.shut(open);
        }
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.inner.ledger.shut_later(open);
        }
    }
}
