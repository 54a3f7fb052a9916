//! One connection: how statements reach the server on it, and whether an answer is still on its way.

use std::pin::pin;
use std::time::Duration;

use foldhash::HashMap;
use futures_util::TryStreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, Shared, join3, try_join3};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, RowStream, Statement};

use super::failure::{Failure, Then};
use super::hosts::Address;
use super::value::parameter_type;
use crate::engine_errors::gives_rows;
use crate::read_limits::{Found, Most};
use crate::row::Source;
use crate::session_check::{Proof, REFUSAL};
use crate::{FromRow, Row, StoreError, Value, sql};

/// Statements kept prepared by each connection.
pub(crate) const STATEMENTS: usize = 256;

/// What a transaction that may change something begins with.
const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE";

/// The generation of a connection that is not used again.
const OUTDATED: u64 = u64::MAX;

/// One connection. Held by a [`Lease`](super::pool::Lease), or idle in the pool; when it is dropped it says goodbye to
/// the server, and [`Session::cut`] does not even wait for that.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    driver: Driver,
    address: Address,
    statements: Statements,
    /// A transaction is to begin, which goes out with its first statement.
    begins: bool,
    /// What the transaction has to prove, which goes out with its first statement too.
    proof: Option<Proof>,
    /// Set while an answer is on its way: a future dropped meanwhile leaves it set.
    pending: bool,
    /// Which search path it was set up with.
    pub(crate) generation: u64,
}

/// How statements reach the server.
#[derive(Debug)]
pub(crate) enum Statements {
    /// Prepared once, and kept under a name.
    Prepared(HashMap<String, Statement>),
    /// Without a name, with the types that our values say, because the next transaction may be on another connection of
    /// the server's. What is set on other connections once, each transaction is begun with.
    Unnamed(TransactionStart),
}

impl Default for Statements {
    fn default() -> Self {
        Self::Prepared(HashMap::default())
    }
}

/// What stands before the first statement of a transaction.
#[derive(Debug, Default)]
pub(crate) struct TransactionStart(String);

impl TransactionStart {
    /// `path` is empty, or a setting.
    pub(crate) fn new(statement_timeout: Duration, path: &str) -> Self {
        let path = if path.is_empty() { String::new() } else { format!("; SET LOCAL {path}") };
        let timeout = statement_timeout.as_millis();
        Self(format!(
            "; SET LOCAL statement_timeout = {timeout}; SET LOCAL idle_in_transaction_session_timeout = '1min'; \
             SET LOCAL TIME ZONE 'UTC'; SET LOCAL standard_conforming_strings = on{path}"
        ))
    }
}

/// A connection that was just made.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) client: Client,
    /// The task that moves its bytes.
    pub(crate) driver: JoinHandle<()>,
    pub(crate) address: Address,
}

impl Session {
    pub(crate) fn new(Open { client, driver, address }: Open, generation: u64, statements: Statements) -> Self {
        let abort = driver.abort_handle();
        // It has nothing more to say than that it ended.
        let driver = Driver(driver.map(|_| ()).boxed().shared(), abort);
        Self { client, driver, address, statements, begins: false, proof: None, pending: false, generation }
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
            self.address.cancel(&self.client.cancel_token()).await?;
        }
        // Answered after whatever was on its way; outside a transaction it only warns.
        self.client.batch_execute("ROLLBACK").await?;
        (self.begins, self.proof, self.pending) = (false, None, false);
        Ok(())
    }

    /// Runs text without parameters, several statements if need be.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        self.pending = true;
        let result = self.client.batch_execute(sql).await;
        self.pending = false;
        Ok(result?)
    }

    /// Begins a transaction that may change something. Where the connection is ours alone its first statement takes this
    /// along, one way to the server and back for both: should the server refuse to begin, it refuses the statement too if
    /// that changes anything, since what stands outside such a transaction may only read.
    pub(crate) async fn begin(&mut self, proof: Option<Proof>) -> Result<(), Failure> {
        self.proof = proof;
        match &self.statements {
            Statements::Prepared(_) => {
                self.begins = true;
                Ok(())
            }
            Statements::Unnamed(TransactionStart(start)) => {
                let begin = format!("{BEGIN}{start}");
                self.batch(&begin).await
            }
        }
    }

    /// Ends the transaction with this command; nothing is sent where it had no statement.
    pub(crate) async fn end(&mut self, command: &str) -> Result<(), Failure> {
        self.proof = None;
        if std::mem::take(&mut self.begins) { Ok(()) } else { self.batch(command).await }
    }

    /// Whether nothing of the transaction has reached the server.
    pub(crate) fn has_yet_to_begin(&self) -> bool {
        self.begins
    }

    /// The statement as the server knows it, or none where it is to be sent as it stands.
    async fn prepare(&mut self, sql: &str, params: &[Value]) -> Result<Option<Statement>, Failure> {
        let Statements::Prepared(statements) = &mut self.statements else {
            fits_text(sql, params)?;
            return Ok(None);
        };
        let statement = match statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                self.pending = true;
                let prepared = self.client.prepare(sql).await;
                self.pending = false;
                let statement = prepared.map_err(|error| self.note(error))?;
                let Statements::Prepared(statements) = &mut self.statements else { return Ok(None) };
                if statements.len() >= STATEMENTS {
                    // Rare: only a program that builds ever new texts comes here.
                    statements.clear();
                }
                statements.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        fits_params(&statement, params)?;
        Ok(Some(statement))
    }

    /// What is to be proved before the first statement, made ready to be sent. Only the first asks for it.
    async fn take_proof(&mut self) -> Result<Option<Prepared>, Failure> {
        match self.proof.take() {
            Some(proof) => {
                Ok(Some(Prepared { statement: self.prepare(proof.refusing(), &proof.params).await?, proof }))
            }
            None => Ok(None),
        }
    }

    /// As much as there may be, outside any transaction.
    pub(crate) async fn read<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Found<T>, Failure> {
        let Statements::Unnamed(TransactionStart(start)) = &self.statements else {
            return self.find(sql, params, most).await;
        };
        fits_text(sql, params)?;
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY{start}");
        self.pending = true;
        // Each is sent when it is first polled, which is in this order and at once: one way to the server and back. After
        // a bug in the server rows may be on their way still, and nobody waits for them.
        let (begun, rows, ended) = try_join3(
            async { Ok(self.client.batch_execute(&begin).await) },
            async {
                match query_unnamed(&self.client, sql, params).await {
                    Ok(rows) => match take(rows, most).await {
                        Err(Fetch::Ours(error)) => Err(error),
                        rows => Ok(rows),
                    },
                    Err(error) => Ok(Err(error)),
                }
            },
            async { Ok(self.client.batch_execute("COMMIT").await) },
        )
        .await?;
        self.pending = false;
        begun.map_err(|error| self.note(error))?;
        let rows = self.heard(Ok(()), Ok(()), rows)?;
        ended.map_err(|error| self.note(error))?;
        Ok(rows)
    }

    /// Up to `most` rows, in the transaction that was begun; one more is an error.
    pub(crate) async fn fetch<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[Value],
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        self.find(sql, params, Most::rows(most)).await.map(|found| found.rows)
    }

    /// As much as there may be, in the transaction that was begun.
    pub(crate) async fn find<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Found<T>, Failure> {
        let statement = self.prepare(sql, params).await?;
        statement.as_ref().map_or(Ok(()), gives_some)?;
        let proof = self.take_proof().await?;
        self.pending = true;
        let begin = begin(&self.client, std::mem::take(&mut self.begins));
        let prove = prove(&self.client, proof.as_ref());
        let (begun, proved, result) = match &statement {
            Some(statement) => join3(begin, prove, stream(&self.client, statement, params, most)).await,
            None => {
                let rows = Box::pin(async { take(query_unnamed(&self.client, sql, params).await?, most).await });
                join3(begin, prove, rows).await
            }
        };
        self.heard(begun, proved, result)
    }

    /// Runs a statement that changes something; how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Failure> {
        let statement = self.prepare(sql, params).await?;
        if statement.as_ref().is_some_and(|statement| !statement.columns().is_empty()) {
            return Err(gives_rows().into());
        }
        let proof = self.take_proof().await?;
        self.pending = true;
        let begin = begin(&self.client, std::mem::take(&mut self.begins));
        let prove = prove(&self.client, proof.as_ref());
        let (begun, proved, result) = match &statement {
            Some(statement) => {
                let done = async { self.client.execute_raw(statement, params).await.map_err(Fetch::Server) };
                join3(begin, prove, done).await
            }
            None => join3(begin, prove, Box::pin(execute_unnamed(&self.client, sql, params))).await,
        };
        self.heard(begun, proved, result)
    }

    /// Up to `most` rows of a statement that changes something, in a transaction of its own: all of it is sent at once. One
    /// row more is an error, and the change is made. What has to be proved is a part of the statement.
    pub(crate) async fn write<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[Value],
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        let statement = self.prepare(sql, params).await?;
        let statement = statement.ok_or_else(|| StoreError::internal("nothing is prepared behind a pooler"))?;
        gives_some(&statement)?;
        self.pending = true;
        let (begun, rows, ended) = join3(
            begin(&self.client, true),
            stream(&self.client, &statement, params, Most::rows(most)),
            self.client.batch_execute("COMMIT"),
        )
        .await;
        self.pending = false;
        // What the server refused to begin or to do was not done. Where it said nothing, nobody knows.
        begun.map_err(|error| self.note_told(error))?;
        let rows = match rows {
            Err(Fetch::Server(error)) => return Err(self.note_proof(error)),
            Err(Fetch::Ours(error)) => Err(error),
            Ok(found) => Ok(found.rows),
        };
        ended.map_err(|error| self.note(error).without_reconnect())?;
        Ok(rows?)
    }

    /// Draws the consequences for this connection.
    fn heed(&mut self, failure: &Failure) {
        match failure.then {
            Then::Prepare => {
                if let Statements::Prepared(statements) = &mut self.statements {
                    statements.clear();
                }
            }
            // The search path is read when a connection begins: a newer one may find the table.
            Then::Renew => self.generation = OUTDATED,
            Then::Tell | Then::Again | Then::Reconnect => {}
        }
    }

    /// What came of a statement, and of the beginning it may have taken along.
    fn heard<T>(
        &mut self,
        begun: Result<(), tokio_postgres::Error>,
        proved: Result<(), tokio_postgres::Error>,
        result: Result<T, Fetch>,
    ) -> Result<T, Failure> {
        // After an error of the server's the answer is over; after one of ours rows may be on their way still.
        self.pending = matches!(result, Err(Fetch::Ours(_)));
        begun.map_err(|error| self.note(error))?;
        proved.map_err(|error| self.note_proof(error))?;
        result.map_err(|error| match error {
            Fetch::Ours(error) => error.into(),
            Fetch::Server(error) => self.note(error),
        })
    }

    /// The same for what went out with its commit: whether that was done is known from the server's own word only.
    fn note_told(&mut self, error: tokio_postgres::Error) -> Failure {
        let is_told = error.as_db_error().is_some();
        let failure = self.note(error);
        if is_told { failure } else { failure.without_reconnect() }
    }

    /// The same for what holds a proof. Where that failed, nothing was done, nor what came behind.
    fn note_proof(&mut self, error: tokio_postgres::Error) -> Failure {
        match error.as_db_error() {
            Some(told) if told.code() == &SqlState::INVALID_TEXT_REPRESENTATION && told.message().contains(REFUSAL) => {
                StoreError::SessionEnded.into()
            }
            _ => self.note_told(error),
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
    /// Ends the connection at once; callers that wait for an answer get an error.
    pub(crate) fn cut(&self) {
        self.1.abort();
    }

    /// Waits until the connection is closed.
    pub(crate) async fn ended(&self) {
        self.0.clone().await;
    }
}

/// Begins a transaction, if there is one to begin. It is sent when this is first polled.
async fn begin(client: &Client, begins: bool) -> Result<(), tokio_postgres::Error> {
    // Boxed, as is a proof: what waits for a statement is moved about before it is sent, and would be twice as large.
    if begins { Box::pin(client.batch_execute(BEGIN)).await } else { Ok(()) }
}

/// A proof on its way, by a statement that the server knows or as it stands.
struct Prepared {
    statement: Option<Statement>,
    proof: Proof,
}

/// Sends what has to be proved, if anything; it is sent when this is first polled. Where it does not hold the server
/// refuses everything that comes behind it in the transaction.
async fn prove(client: &Client, proof: Option<&Prepared>) -> Result<(), tokio_postgres::Error> {
    let Some(Prepared { statement, proof }) = proof else { return Ok(()) };
    let sent = async {
        let rows = match statement {
            Some(statement) => client.query_raw(statement, &proof.params).await?,
            None => {
                let typed = proof.params.iter().map(|value| (value, parameter_type(value)));
                client.query_typed_raw(proof.refusing(), typed).await?
            }
        };
        let mut rows = pin!(rows);
        while rows.try_next().await?.is_some() {}
        Ok(())
    };
    Box::pin(sent).await
}

/// Whether `params` can be given to a statement that is to give rows.
pub(crate) fn fits(statement: &Statement, params: &[Value]) -> Result<(), StoreError> {
    fits_params(statement, params)?;
    gives_some(statement)
}

fn fits_params(statement: &Statement, params: &[Value]) -> Result<(), StoreError> {
    are_as_many(statement.params().len(), params)?;
    has_no_nul(params)
}

/// The same for a statement that the server was not asked about.
fn fits_text(sql: &str, params: &[Value]) -> Result<(), StoreError> {
    let count = sql::parameters(sql).ok_or_else(|| StoreError::internal("the statement leaves a parameter out"))?;
    are_as_many(count, params)?;
    has_no_nul(params)
}

fn are_as_many(count: usize, params: &[Value]) -> Result<(), StoreError> {
    if count != params.len() {
        let given = params.len();
        return Err(StoreError::internal(format!("{given} parameters were given, and the statement has {count}")));
    }
    Ok(())
}

fn has_no_nul(params: &[Value]) -> Result<(), StoreError> {
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

/// As much as there may be.
pub(crate) async fn stream<T: FromRow>(
    client: &Client,
    statement: &Statement,
    params: &[Value],
    most: Most,
) -> Result<Found<T>, Fetch> {
    take(client.query_raw(statement, params).await.map_err(Fetch::Server)?, most).await
}

/// The connection's driver reads and drops the rows that are not taken: the connection's next user waits for that.
async fn take<T: FromRow>(rows: RowStream, most: Most) -> Result<Found<T>, Fetch> {
    let mut rows = pin!(rows);
    let mut found = Found::new();
    while let Some(row) = rows.try_next().await.map_err(Fetch::Server)? {
        if !found.wants(most, row.raw_size_bytes()).map_err(Fetch::Ours)? {
            break;
        }
        found.rows.push(T::from_row(&Row(Source::Postgres(&row))).map_err(Fetch::Ours)?);
    }
    Ok(found)
}

async fn query_unnamed(client: &Client, sql: &str, params: &[Value]) -> Result<RowStream, Fetch> {
    let typed = params.iter().map(|value| (value, parameter_type(value)));
    client.query_typed_raw(sql, typed).await.map_err(Fetch::Server)
}

async fn execute_unnamed(client: &Client, sql: &str, params: &[Value]) -> Result<u64, Fetch> {
    let mut rows = pin!(query_unnamed(client, sql, params).await?);
    match rows.try_next().await.map_err(Fetch::Server)? {
        Some(_) => Err(Fetch::Ours(gives_rows())),
        None => Ok(rows.rows_affected().unwrap_or(0)),
    }
}

/// Why there are no rows: a bug in the server, after which some may be on their way still, or the server's word.
pub(crate) enum Fetch {
    Ours(StoreError),
    Server(tokio_postgres::Error),
}
