//! Whether the database accepts writes, as the last operations showed: for readiness, and for callers that would only be
//! refused.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::StoreError;

/// How long a damage that was met counts: nobody looks for it, and what is not damaged can be written meanwhile.
const DAMAGED: Duration = Duration::from_secs(60);

/// Why writes fail. Several may be so at once; the one that an operator must know of first stands last.
const UNAVAILABLE: u8 = 1;
const READ_ONLY: u8 = 2;
const FULL: u8 = 4;
const CORRUPT: u8 = 8;

/// What one engine's operations have shown. Held by the engine and by each transaction.
#[derive(Debug, Default)]
pub(crate) struct Health {
    troubles: AtomicU8,
    /// Whether anything was committed since that was asked last.
    has_committed: AtomicBool,
    damaged_at: Mutex<Option<Instant>>,
}

impl Health {
    /// Something was committed. On every commit: two loads, as long as all is well.
    pub(crate) fn wrote(&self) {
        if !self.has_committed.load(Ordering::Relaxed) {
            self.has_committed.store(true, Ordering::Relaxed);
        }
        let troubles = self.troubles.load(Ordering::Relaxed);
        if troubles == 0 {
            return;
        }
        let mut over = troubles;
        if troubles & CORRUPT != 0 && self.damaged_at().is_some_and(|at| at.elapsed() < DAMAGED) {
            over &= !CORRUPT;
        }
        self.end(over);
    }

    /// A write failed, or a read met what is damaged. Most errors say nothing of the database as a whole.
    pub(crate) fn failed(&self, error: &StoreError) {
        let trouble = match error {
            StoreError::Unavailable { .. } => UNAVAILABLE,
            StoreError::ReadOnly => READ_ONLY,
            StoreError::Full => FULL,
            StoreError::Corrupt { .. } => CORRUPT,
            _ => return,
        };
        if trouble == CORRUPT {
            *self.damaged_at() = Some(Instant::now());
        }
        self.begin(trouble);
    }

    /// The same of a server: whether it is there everybody notices, and whether it takes no writes is asked of it, since one
    /// statement's word for that may be of one connection.
    pub(crate) fn failed_on_server(&self, error: &StoreError) {
        if matches!(error, StoreError::Full | StoreError::Corrupt { .. }) {
            self.failed(error);
        }
    }

    /// The same of a read: whether writes succeed it does not know.
    pub(crate) fn failed_to_read(&self, error: &StoreError) {
        if matches!(error, StoreError::Corrupt { .. }) {
            self.failed(error);
        }
    }

    /// Whether the database is known to refuse every write.
    pub(crate) fn is_read_only(&self) -> bool {
        self.troubles.load(Ordering::Relaxed) & READ_ONLY != 0
    }

    /// What the database says of itself; whether that is new.
    pub(crate) fn set_read_only(&self, is_read_only: bool) -> bool {
        let was_read_only = self.is_read_only();
        match is_read_only {
            true => self.begin(READ_ONLY),
            false => self.end(READ_ONLY),
        }
        was_read_only != is_read_only
    }

    /// Why writes fail, by the stable name of the error; none where they do not.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        name(self.troubles.load(Ordering::Relaxed))
    }

    /// Whether anything was committed since this was asked last.
    pub(crate) fn take_committed(&self) -> bool {
        self.has_committed.swap(false, Ordering::Relaxed)
    }

    fn begin(&self, trouble: u8) {
        if self.troubles.fetch_or(trouble, Ordering::Relaxed) & trouble == 0
            && let Some(code) = name(trouble)
        {
            tracing::error!(target: "mainstay::store", code, "{}", advice(trouble));
        }
    }

    fn end(&self, troubles: u8) {
        let before = self.troubles.fetch_and(!troubles, Ordering::Relaxed);
        if before & troubles != 0 && before & !troubles == 0 {
            tracing::info!(target: "mainstay::store", "the database takes writes again");
        }
    }

    fn damaged_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.damaged_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn name(troubles: u8) -> Option<&'static str> {
    Some(match troubles {
        0 => return None,
        CORRUPT.. => "store_corrupt",
        FULL.. => "storage_full",
        READ_ONLY.. => "store_read_only",
        _ => "store_unavailable",
    })
}

const fn advice(trouble: u8) -> &'static str {
    match trouble {
        CORRUPT => {
            "the database is damaged: keep a copy of it as it is, then restore a backup; until then what is damaged is \
             answered with 503, and this node is not ready"
        }
        FULL => "the database's disk is full: make room; this node is not ready until a write succeeds",
        READ_ONLY => {
            "the database takes no writes (`default_transaction_read_only`, a standby, a file system mounted read-only): \
             they are answered with 503, and this node is not ready, until it does again"
        }
        _ => "the database's files cannot be written: this node is not ready until a write succeeds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_lasts_until_something_is_written() {
        let health = Health::default();
        assert_eq!(health.trouble(), None);
        for (error, code) in [
            (StoreError::Full, "storage_full"),
            (StoreError::ReadOnly, "store_read_only"),
            (StoreError::unavailable("x"), "store_unavailable"),
        ] {
            health.failed(&error);
            assert_eq!(health.trouble(), Some(code));
            health.wrote();
            assert_eq!(health.trouble(), None, "{code}");
        }
        for error in [StoreError::Busy, StoreError::Timeout, StoreError::Nested, StoreError::internal("x")] {
            health.failed(&error);
            assert_eq!(health.trouble(), None, "{error}");
        }
    }

    #[test]
    fn a_damage_is_not_over_because_something_else_was_written() {
        let health = Health::default();
        health.failed_to_read(&StoreError::unavailable("x"));
        assert_eq!(health.trouble(), None, "that a read failed says nothing of writes");
        health.failed_on_server(&StoreError::ReadOnly);
        assert_eq!(health.trouble(), None, "nor one connection of the server");
        health.failed_to_read(&StoreError::Corrupt { source: "x".into() });
        health.failed(&StoreError::Full);
        health.wrote();
        assert_eq!(health.trouble(), Some("store_corrupt"));
        *health.damaged_at() = Instant::now().checked_sub(DAMAGED);
        health.wrote();
        assert_eq!(health.trouble(), None);
    }

    #[test]
    fn what_the_database_says_of_itself_is_told_once() {
        let health = Health::default();
        assert!(health.set_read_only(true) && !health.set_read_only(true) && health.is_read_only());
        assert!(health.set_read_only(false) && !health.set_read_only(false) && !health.is_read_only());
    }
}
