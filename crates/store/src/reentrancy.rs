//! Knows whether the code that runs now is a transaction's closure, so that using the store inside one is refused and
//! not deadlocked. The mark is set round each poll of the closure, so it holds on whichever thread it is polled.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a transaction's closure.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// Runs `work` as part of a transaction's closure.
pub(crate) fn inside<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            INSIDE.set(self.0);
        }
    }
    let _restore = Restore(INSIDE.replace(true));
    work()
}

/// Polls a future as part of a transaction's closure.
pub(crate) struct Inside<F>(pub(crate) Pin<Box<F>>);

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        inside(|| self.0.as_mut().poll(cx))
    }
}
