use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// What a transaction changes, in words for those who keep copies of it: caches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Touched {
    /// One thing of a kind: `posts` and its id.
    One(Cow<'static, str>, Uuid),
    /// Every thing of a kind, or which of them is not known.
    All(Cow<'static, str>),
}

impl Touched {
    /// Of which kind.
    pub fn kind(&self) -> &str {
        match self {
            Self::One(kind, _) | Self::All(kind) => kind,
        }
    }
}

/// Told of what each transaction touches ([`Tx::touch`](crate::Tx::touch)), before its commit and after.
pub trait Watch: Send + Sync + 'static {
    /// A transaction is about to commit. Must not wait: on SQLite all others wait with it. What comes back is told the end; none where
    /// nobody keeps any of it.
    fn begin(&self, touched: Vec<Touched>) -> Option<Box<dyn Touching>>;
}

/// A change under way. Dropped, its outcome is not known: it may have been committed, or may be yet.
pub trait Touching: Send + Sync {
    /// Tells other nodes, where that must be done before the commit. Not asked for on SQLite, whose commits wait for nobody.
    fn announce(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// It was committed, or rolled back for certain; when this is done, the transaction is acknowledged.
    fn done(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The changes of one transaction under way, of every time it was run. Held by the caller and by the closure: by whichever
/// is there longer, so that a change whose caller went away is told of when the transaction is over, and not before.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<Vec<Box<dyn Touching>>>>);

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnderWay")
    }
}

impl UnderWay {
    pub(crate) fn add(&self, touching: Box<dyn Touching>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(touching);
    }

    /// The outcome is known.
    pub(crate) async fn done(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for touching in all {
            touching.done().await;
        }
    }
}
