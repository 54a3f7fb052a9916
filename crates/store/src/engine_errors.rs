//! Errors that both engines answer with the same words.

use std::any::Any;

use crate::StoreError;

/// The answer when there are more rows than asked for; the same on both databases.
pub(crate) fn too_many(most: usize) -> StoreError {
    StoreError::internal(if most == 1 {
        "`row` found more than one row; it is for unique keys, use `rows`".to_owned()
    } else {
        format!("`rows` found more than {most} rows; read them page by page")
    })
}

/// The answer when `execute` is given a statement with rows; the same on both databases.
pub(crate) fn gives_rows() -> StoreError {
    StoreError::internal("the statement gives rows; use `row` or `rows`")
}

/// What a panic said, for the log.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StoreError::internal(format!("a transaction's closure panicked: {}", said.unwrap_or("without a text")))
}
