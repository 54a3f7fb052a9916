use std::sync::Arc;

use kernel::{Clock, Ctx};

use crate::migrate::Plan;
use crate::tx::TxInner;
use crate::{Applied, Cell, FromRow, MigrateError, OpenError, Reactions, StoreError, StoreSettings, Tx, Value};

#[derive(Debug)]
pub(crate) struct Sqlite;

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::internal("not written yet"))
}

impl Sqlite {
    pub(crate) async fn open(_path: &str, _settings: &StoreSettings) -> Result<Self, OpenError> {
        Ok(Self)
    }
    pub(crate) async fn row<T: FromRow>(&self, _: &Ctx, _: &str, _: &[Value]) -> Result<Option<T>, StoreError> {
        not_yet()
    }
    pub(crate) async fn rows<T: FromRow>(&self, _: &Ctx, _: &str, _: &[Value]) -> Result<Vec<T>, StoreError> {
        not_yet()
    }
    pub(crate) async fn tx<T, E, F, Fut>(&self, _: &Arc<Reactions>, _: &Ctx, _work: F) -> Result<T, E>
    where
        F: Fn(Tx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        Ok(not_yet()?)
    }
    pub(crate) async fn migrate(&self, _: Plan, _: &Clock) -> Result<Vec<Applied>, MigrateError> {
        Ok(not_yet()?)
    }
    pub(crate) async fn ping(&self, _: &Ctx) -> Result<(), StoreError> {
        not_yet()
    }
    pub(crate) async fn close(&self) {}
}

pub(crate) fn cell<'a>(_row: &'a rusqlite::Row<'_>, _index: usize) -> Result<Cell<'a>, StoreError> {
    not_yet()
}
pub(crate) fn turn_execute(_: &Arc<TxInner>, _: &str, _: &[Value]) -> Result<u64, StoreError> {
    not_yet()
}
pub(crate) fn turn_row<T: FromRow>(_: &Arc<TxInner>, _: &str, _: &[Value]) -> Result<Option<T>, StoreError> {
    not_yet()
}
pub(crate) fn turn_rows<T: FromRow>(_: &Arc<TxInner>, _: &str, _: &[Value]) -> Result<Vec<T>, StoreError> {
    not_yet()
}
