//! What a thread is to the others of its process: its number, and whether it goes first where a core is short.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers the threads as they come. It decides nothing else.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// This thread's number, in the order in which threads ask for one: to spread them over connections or buffers, so that
/// what each needs is free and warm.
pub fn number() -> usize {
    THREAD.with(|number| *number)
}

/// From now on this thread stands back by `niceness` (0–19, the scale of `nice(2)`) where others have something to do: at
/// 5 it gets a third of a worker's share of a core, at 10 a tenth. One that stands further back already stays there. Only
/// Linux has this for single threads; elsewhere nothing changes.
///
/// # Errors
/// When the system refuses.
pub fn give_way(niceness: i32) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let this = Some(rustix::thread::gettid());
        if rustix::process::getpriority_process(this)? < niceness {
            rustix::process::setpriority_process(this, niceness)?;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_number_of_its_own() {
        let own = number();
        assert_eq!(number(), own);
        assert_ne!(std::thread::spawn(number).join().unwrap(), own);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_gives_way_alone_and_never_less_than_before() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let own = nice();
        let other = std::thread::spawn(move || {
            give_way(own + 3).unwrap();
            give_way(own + 1).unwrap();
            nice()
        });
        assert_eq!(other.join().unwrap(), (own + 3).min(19));
        assert_eq!(nice(), own);
    }
}
