//! Where the writer's thread keeps its connection, so that a transaction's closure polled on that thread finds it. A
//! [`Tx`](crate::Tx) can be sent anywhere; it works only here, and only while it is its turn.

use std::cell::RefCell;
use std::sync::Arc;

use rusqlite::Connection;

use super::connection::{self, Access};
use crate::alike::Most;
use crate::tx::TxInner;
use crate::{FromRow, StoreError, Value};

#[derive(Default)]
struct Desk {
    connection: Option<Connection>,
    turn: Option<Arc<TxInner>>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// Puts the connection on this thread's desk, or takes it off.
pub(crate) fn seat(connection: Option<Connection>) {
    // Dropped after the borrow: closing may take a while.
    let _before = DESK.with_borrow_mut(|desk| {
        desk.turn = None;
        std::mem::replace(&mut desk.connection, connection)
    });
}

/// Takes the connection off, without closing it.
pub(crate) fn clear() -> Option<Connection> {
    DESK.with_borrow_mut(|desk| {
        desk.turn = None;
        desk.connection.take()
    })
}

/// Whether there is no connection on this thread's desk.
pub(crate) fn is_empty() -> bool {
    DESK.with_borrow(|desk| desk.connection.is_none())
}

/// Whose statements are run from now on.
pub(crate) fn set_turn(turn: Option<Arc<TxInner>>) {
    DESK.with_borrow_mut(|desk| desk.turn = turn);
}

/// Uses the connection on this thread's desk.
pub(crate) fn with<T>(work: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    DESK.with_borrow_mut(|desk| match &mut desk.connection {
        Some(connection) => work(connection),
        None => Err(StoreError::unavailable("the writer has no connection")),
    })
}

fn in_turn<T>(tx: &Arc<TxInner>, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    DESK.with_borrow(|desk| match (&desk.connection, &desk.turn) {
        (Some(connection), Some(turn)) if Arc::ptr_eq(turn, tx) => work(connection),
        _ => Err(TxInner::over()),
    })
}

pub(crate) fn turn_execute(tx: &Arc<TxInner>, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
    in_turn(tx, |connection| connection::execute(connection, sql, params))
}

/// Whether a statement that only reads gives a row.
pub(crate) fn turn_has_row(tx: &Arc<TxInner>, sql: &str, params: &[Value]) -> Result<bool, StoreError> {
    in_turn(tx, |connection| connection::has_row(connection, sql, params))
}

/// As much as there may be.
pub(crate) fn turn_rows<T: FromRow>(
    tx: &Arc<TxInner>,
    sql: &str,
    params: &[Value],
    most: Most,
) -> Result<Vec<T>, StoreError> {
    in_turn(tx, |connection| connection::fetch(connection, sql, params, Access::Change, most)).map(|found| found.rows)
}
