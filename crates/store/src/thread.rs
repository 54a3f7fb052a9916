use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers the threads as they come, to spread them over connections. It decides nothing else.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// This thread's number. Each thread prefers the connection of its number, so that what it needs is free and prepared.
pub(crate) fn number() -> usize {
    THREAD.with(|number| *number)
}
