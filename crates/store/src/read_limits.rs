//! How much a read may find, on both engines alike.

use kernel::{Ctx, Identity};

use crate::StoreError;
use crate::engine_errors::too_many;

/// More rows than this are never held at once.
pub(crate) const MOST_ROWS: usize = 100_000;
/// More bytes of rows than this are never held at once for a caller from outside.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// The most keys of one [`Reads::rows_by_key`](crate::Reads::rows_by_key): they are looked up as one is, where the caller
/// is. As many as a page has items; with more of them, the next caller would wait too long.
pub const MOST_KEYS: usize = 100;

/// How much a read may find.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    /// Whether a page ends where the bytes do. Otherwise more is an error.
    pub(crate) is_page: bool,
}

/// What a read found.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) rows: Vec<T>,
    /// Whether a page ended before the rows did.
    pub(crate) is_cut: bool,
    bytes: usize,
}

impl Most {
    pub(crate) const fn rows(rows: usize) -> Self {
        Self { rows, bytes: usize::MAX, is_page: false }
    }

    /// What this operation may hold of any statement.
    pub(crate) const fn of(ctx: &Ctx) -> Self {
        match ctx.identity() {
            Identity::System => Self::rows(MOST_ROWS),
            Identity::Anonymous | Identity::User { .. } => Self { bytes: MOST_BYTES, ..Self::rows(MOST_ROWS) },
        }
    }

    /// This many rows that are known by their keys.
    pub(crate) const fn by_keys(ctx: &Ctx, rows: usize) -> Self {
        match rows {
            // However large it is.
            1 => Self::rows(1),
            _ => Self { rows, ..Self::of(ctx) },
        }
    }

    /// A page of at most this many bytes, or of one row that has more.
    pub(crate) const fn page(bytes: usize) -> Self {
        Self { rows: MOST_ROWS, bytes, is_page: true }
    }
}

impl<T> Found<T> {
    pub(crate) const fn new() -> Self {
        Self { rows: Vec::new(), is_cut: false, bytes: 0 }
    }

    /// Whether a row of this size is still to be read.
    ///
    /// # Errors
    /// When there are more than there may be.
    pub(crate) fn wants(&mut self, most: Most, bytes: usize) -> Result<bool, StoreError> {
        if self.rows.len() >= most.rows {
            return Err(too_many(most.rows));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= most.bytes || (most.is_page && self.rows.is_empty()) {
            return Ok(true);
        }
        self.is_cut = true;
        if most.is_page { Ok(false) } else { Err(StoreError::TooLarge) }
    }
}
