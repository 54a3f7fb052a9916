//! Where the writer's thread keeps its connection, so that a transaction's closure polled on that thread finds it. A
//! [`Tx`](crate::Tx) can be sent anywhere; it works only here, and only while it is its turn.

use std::cell::RefCell;
use std::sync::Arc;

use rusqlite::Connection;

use super::connection::{self, Access};
use crate::read_limits::Most;
use crate::tx::TxInner;
use crate::{FromRow, StoreError, Value};

#[derive(Default)]
struct WriterConnection {
    connection: Option<Connection>,
    transaction: Option<Arc<TxInner>>,
}

thread_local! {
    static WRITER: RefCell<WriterConnection> = RefCell::default();
}

/// Puts the connection on this thread, or takes it off.
pub(crate) fn put(connection: Option<Connection>) {
    // Dropped after the borrow: closing may take a while.
    let _before = WRITER.with_borrow_mut(|writer| {
        writer.transaction = None;
        std::mem::replace(&mut writer.connection, connection)
    });
}

/// Takes the connection off, without closing it.
pub(crate) fn clear() -> Option<Connection> {
    WRITER.with_borrow_mut(|writer| {
        writer.transaction = None;
        writer.connection.take()
    })
}

/// Whether there is no connection on this thread.
pub(crate) fn is_empty() -> bool {
    WRITER.with_borrow(|writer| writer.connection.is_none())
}

/// Whose statements are run from now on.
pub(crate) fn set_transaction(transaction: Option<Arc<TxInner>>) {
    WRITER.with_borrow_mut(|writer| writer.transaction = transaction);
}

/// Uses the connection on this thread.
pub(crate) fn with<T>(work: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    WRITER.with_borrow_mut(|writer| match &mut writer.connection {
        Some(connection) => work(connection),
        None => Err(StoreError::unavailable("the writer has no connection")),
    })
}

fn in_transaction<T>(
    tx: &Arc<TxInner>,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    WRITER.with_borrow(|writer| match (&writer.connection, &writer.transaction) {
        (Some(connection), Some(transaction)) if Arc::ptr_eq(transaction, tx) => work(connection),
        _ => Err(TxInner::over()),
    })
}

pub(crate) fn execute_in_tx(tx: &Arc<TxInner>, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
    in_transaction(tx, |connection| connection::execute(connection, sql, params))
}

/// Whether a statement that only reads gives a row.
pub(crate) fn has_row_in_tx(tx: &Arc<TxInner>, sql: &str, params: &[Value]) -> Result<bool, StoreError> {
    in_transaction(tx, |connection| connection::has_row(connection, sql, params))
}

/// As much as there may be.
pub(crate) fn rows_in_tx<T: FromRow>(
    tx: &Arc<TxInner>,
    sql: &str,
    params: &[Value],
    most: Most,
) -> Result<Vec<T>, StoreError> {
    in_transaction(tx, |connection| connection::fetch(connection, sql, params, Access::Change, most))
        .map(|found| found.rows)
}
