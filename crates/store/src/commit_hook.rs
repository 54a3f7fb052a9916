use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::{StoreError, Tx};

type Hook = dyn Fn(Tx, &dyn Any) -> Option<HookFuture> + Send + Sync;
type HookFuture = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Sees what each transaction of an operation is about to return, and may save something in it before its commit: the
/// answer that a request with an `Idempotency-Key` will be given again. Attached to the operation's
/// [`Ctx`](kernel::Ctx::attach), so that neither the use case nor its transaction has to know.
#[derive(Clone)]
pub struct CommitHook {
    of: Arc<dyn Any + Send + Sync>,
    hook: Arc<Hook>,
}

impl CommitHook {
    /// One of `of`, that saves by `see`, which is given the transaction's own `Ok` value, and none for what does not concern
    /// it. It is asked again when the transaction is run again; an error rolls the transaction back.
    pub fn new<T, F, Fut>(of: Arc<T>, hook: F) -> Self
    where
        T: Any + Send + Sync,
        F: Fn(Tx, &dyn Any) -> Option<Fut> + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Self { of, hook: Arc::new(move |tx, value| hook(tx, value).map(|saving| Box::pin(saving) as HookFuture)) }
    }

    /// Whose it is, if that is of this type: for event handlers, which have something of their own to save about it.
    pub fn of<T: Any>(&self) -> Option<&T> {
        self.of.downcast_ref()
    }

    pub(crate) fn call(&self, tx: Tx, value: &dyn Any) -> Option<HookFuture> {
        (self.hook)(tx, value)
    }
}

impl fmt::Debug for CommitHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitHook")
    }
}
