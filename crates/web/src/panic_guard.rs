use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use crate::{Problem, RequestError, Response};

/// Catches a handler's panic.
pub(crate) fn guarded<F: Future<Output = Result<Response, Problem>> + ?Sized>(
    mut handler: Pin<&mut F>,
) -> impl Future<Output = Result<Response, Problem>> {
    std::future::poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(_) => Poll::Ready(Err(RequestError::Panicked.into())),
    })
}
