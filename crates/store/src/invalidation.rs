use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// What a transaction changes, in words for those who keep copies of it: caches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// One thing of a kind: `posts` and its id.
    One(Cow<'static, str>, Uuid),
    /// Every thing of a kind, or which of them is not known.
    All(Cow<'static, str>),
}

impl Invalidation {
    /// Of which kind.
    pub fn kind(&self) -> &str {
        match self {
            Self::One(kind, _) | Self::All(kind) => kind,
        }
    }
}

/// Told of what each transaction touches ([`Tx::invalidate`](crate::Tx::invalidate)), before its commit and after.
pub trait CommitObserver: Send + Sync + 'static {
    /// A transaction is about to commit. Must not wait: on SQLite all others wait with it. The returned value learns the
    /// outcome; none where nobody keeps any of it.
    fn begin(&self, invalidations: Vec<Invalidation>) -> Option<Box<dyn PendingInvalidation>>;
}

/// A change under way. Dropped, its outcome is not known: it may have been committed, or may be yet.
pub trait PendingInvalidation: Send + Sync {
    /// Tells other nodes, where that must be done before the commit. Not asked for on SQLite, whose commits wait for nobody.
    fn publish(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// It was committed, or rolled back for certain; when this is done, the transaction is acknowledged.
    fn done(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The changes of one transaction under way, of every time it was run. Held by the caller and by the closure: by whichever
/// is there longer, so that a change whose caller went away is published when the transaction is over, and not before.
#[derive(Clone, Default)]
pub(crate) struct PendingInvalidations(Arc<Mutex<Vec<Box<dyn PendingInvalidation>>>>);

impl fmt::Debug for PendingInvalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingInvalidations")
    }
}

impl PendingInvalidations {
    pub(crate) fn add(&self, pending: Box<dyn PendingInvalidation>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pending);
    }

    /// The outcome is known.
    pub(crate) async fn done(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for pending in all {
            pending.done().await;
        }
    }
}
