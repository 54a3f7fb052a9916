//! One connection: its prepared statements, and whether an answer is still on its way.

use std::collections::HashMap;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::{Client, NoTls, Statement};

use super::failure::{Failure, Then};
use crate::alike::{gives_rows, too_many};
use crate::row::Source;
use crate::{FromRow, Row, StoreError, Value};

/// Statements kept prepared by each connection.
pub(crate) const STATEMENTS: usize = 256;

/// The generation of a connection that is not used again.
const OUTDATED: u64 = u64::MAX;

/// One connection. Held by a [`Lease`](super::pool::Lease), or idle in the pool; when it is dropped the server is told
/// goodbye, and [`Session::cut`] does not even wait for that.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    driver: Driver,
    statements: HashMap<String, Statement>,
    /// Set while an answer is on its way: a future dropped meanwhile leaves it set.
    pending: bool,
    /// Which search path it was set up with.
    pub(crate) generation: u64,
}

impl Session {
    pub(crate) fn new(client: Client, driver: JoinHandle<()>, generation: u64) -> Self {
        let abort = driver.abort_handle();
        // It has nothing more to say than that it ended.
        let driver = Driver(driver.map(|_| ()).boxed().shared(), abort);
        Self { client, driver, statements: HashMap::new(), pending: false, generation }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether an answer is on its way that nobody waits for any more.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Ends the connection at once.
    pub(crate) fn cut(self) {
        self.driver.cut();
    }

    /// Says goodbye and waits until the connection is closed.
    pub(crate) async fn leave(self) {
        drop(self.client);
        self.driver.ended().await;
    }

    /// For a connection that many use at once.
    pub(crate) fn into_parts(self) -> (Client, Driver, u64) {
        (self.client, self.driver, self.generation)
    }

    /// Makes the server give up what it is doing for this connection, and whatever transaction is open.
    pub(crate) async fn recover(&mut self) -> Result<(), tokio_postgres::Error> {
        if self.pending {
            self.client.cancel_token().cancel_query(NoTls).await?;
        }
        // Answered after whatever was on its way; outside a transaction it only warns.
        self.client.batch_execute("ROLLBACK").await?;
        self.pending = false;
        Ok(())
    }

    /// Runs text without parameters, several statements if need be.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        self.pending = true;
        let result = self.client.batch_execute(sql).await;
        self.pending = false;
        Ok(result?)
    }

    async fn prepare(&mut self, sql: &str, params: &[Value]) -> Result<Statement, Failure> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                self.pending = true;
                let prepared = self.client.prepare(sql).await;
                self.pending = false;
                let statement = prepared.map_err(|error| self.note(error))?;
                if self.statements.len() >= STATEMENTS {
                    // Rare: only a program that builds ever new texts comes here.
                    self.statements.clear();
                }
                self.statements.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        fits_params(&statement, params)?;
        Ok(statement)
    }

    /// Up to `most` rows; one more is an error.
    pub(crate) async fn fetch<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[Value],
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        let statement = self.prepare(sql, params).await?;
        gives_some(&statement)?;
        self.pending = true;
        let result = stream(&self.client, &statement, params, most).await;
        // After an error of the server's the answer is over; after one of ours rows may be on their way still.
        self.pending = matches!(result, Err(Fetch::Ours(_)));
        match result {
            Ok(rows) => Ok(rows),
            Err(Fetch::Ours(error)) => Err(error.into()),
            Err(Fetch::Server(error)) => Err(self.note(error)),
        }
    }

    /// Runs a statement that changes something; how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Failure> {
        let statement = self.prepare(sql, params).await?;
        if !statement.columns().is_empty() {
            return Err(gives_rows().into());
        }
        self.pending = true;
        let result = self.client.execute_raw(&statement, params).await;
        self.pending = false;
        result.map_err(|error| self.note(error))
    }

    /// Draws the consequences for this connection.
    fn heed(&mut self, failure: &Failure) {
        match failure.then {
            Then::Prepare => self.statements.clear(),
            // The search path is read when a connection begins: a newer one may find the table.
            Then::Renew => self.generation = OUTDATED,
            Then::Tell | Then::Again | Then::Reconnect => {}
        }
    }

    fn note(&mut self, error: tokio_postgres::Error) -> Failure {
        let failure = Failure::from(error);
        self.heed(&failure);
        failure
    }
}

/// The task that moves a connection's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Driver(Shared<BoxFuture<'static, ()>>, AbortHandle);

impl Driver {
    /// Ends the connection at once; whoever waits for an answer is told.
    pub(crate) fn cut(&self) {
        self.1.abort();
    }

    /// Waits until the connection is closed.
    pub(crate) async fn ended(&self) {
        self.0.clone().await;
    }
}

/// Whether `params` can be given to a statement that is to give rows.
pub(crate) fn fits(statement: &Statement, params: &[Value]) -> Result<(), StoreError> {
    fits_params(statement, params)?;
    gives_some(statement)
}

fn fits_params(statement: &Statement, params: &[Value]) -> Result<(), StoreError> {
    let count = statement.params().len();
    if count != params.len() {
        let given = params.len();
        return Err(StoreError::internal(format!("{given} parameters were given, and the statement has {count}")));
    }
    if params.iter().any(Value::has_nul) {
        return Err(StoreError::internal("a text holds the NUL character, which PostgreSQL cannot keep"));
    }
    Ok(())
}

fn gives_some(statement: &Statement) -> Result<(), StoreError> {
    if statement.columns().is_empty() {
        return Err(StoreError::internal("the statement gives no rows; use `execute`"));
    }
    Ok(())
}

/// Up to `most` rows; one more is an error.
pub(crate) async fn stream<T: FromRow>(
    client: &Client,
    statement: &Statement,
    params: &[Value],
    most: usize,
) -> Result<Vec<T>, Fetch> {
    let mut rows = pin!(client.query_raw(statement, params).await.map_err(Fetch::Server)?);
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(Fetch::Server)? {
        if found.len() == most {
            return Err(Fetch::Ours(too_many(most)));
        }
        found.push(T::from_row(&Row(Source::Postgres(&row))).map_err(Fetch::Ours)?);
    }
    Ok(found)
}

/// Why there are no rows: a fault of ours, after which some may be on their way still, or the server's word.
pub(crate) enum Fetch {
    Ours(StoreError),
    Server(tokio_postgres::Error),
}
