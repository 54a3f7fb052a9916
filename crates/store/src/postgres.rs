use std::sync::Arc;

use kernel::{Clock, Ctx};

use crate::migrate::Plan;
use crate::tx::TxInner;
use crate::{Applied, Cell, FromRow, MigrateError, OpenError, Reactions, StoreError, StoreSettings, Tx, Value};

#[derive(Debug)]
pub(crate) struct Postgres;

pub(crate) struct Held;

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::internal("not written yet"))
}

pub(crate) fn check_url(url: &str) -> Result<(), String> {
    let config: tokio_postgres::Config = url
        .parse()
        .map_err(|_| "`url` cannot be read; write `postgres://user:password@host:5432/database`".to_owned())?;
    if config.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
        return Err("`url` asks for `sslmode=require`, and encrypted connections are not possible yet; use a unix \
                    socket, a private network or a tunnel, and `sslmode=prefer`"
            .to_owned());
    }
    Ok(())
}

impl Held {
    pub(crate) async fn execute(&self, _: &Arc<TxInner>, _: &str, _: &[Value]) -> Result<u64, StoreError> {
        not_yet()
    }
    pub(crate) async fn row<T: FromRow>(
        &self,
        _: &Arc<TxInner>,
        _: &str,
        _: &[Value],
    ) -> Result<Option<T>, StoreError> {
        not_yet()
    }
    pub(crate) async fn rows<T: FromRow>(&self, _: &Arc<TxInner>, _: &str, _: &[Value]) -> Result<Vec<T>, StoreError> {
        not_yet()
    }
}

impl Postgres {
    pub(crate) async fn open(_url: &str, _settings: &StoreSettings) -> Result<Self, OpenError> {
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

pub(crate) fn cell(_row: &tokio_postgres::Row, _index: usize) -> Result<Cell<'_>, StoreError> {
    not_yet()
}
