use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::{StoreError, Tx};

type See = dyn Fn(Tx, &dyn Any) -> Option<Saving> + Send + Sync;
type Saving = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Sees what each transaction of an operation is about to return, and may save something in it before its commit: the
/// answer that a request with an `Idempotency-Key` will be given again. Attached to the operation's
/// [`Ctx`](kernel::Ctx::attach), so that neither the use case nor its transaction has to know.
#[derive(Clone)]
pub struct Witness {
    of: Arc<dyn Any + Send + Sync>,
    see: Arc<See>,
}

impl Witness {
    /// One of `of`, that saves by `see`, which is given the transaction's own `Ok` value, and none for what does not concern
    /// it. It is asked again when the transaction is run again; an error rolls the transaction back.
    pub fn new<T, F, Fut>(of: Arc<T>, see: F) -> Self
    where
        T: Any + Send + Sync,
        F: Fn(Tx, &dyn Any) -> Option<Fut> + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Self { of, see: Arc::new(move |tx, value| see(tx, value).map(|saving| Box::pin(saving) as Saving)) }
    }

    /// Whose it is, if that is of this type: for reactions, which have something of their own to save about it.
    pub fn of<T: Any>(&self) -> Option<&T> {
        self.of.downcast_ref()
    }

    pub(crate) fn see(&self, tx: Tx, value: &dyn Any) -> Option<Saving> {
        (self.see)(tx, value)
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}
