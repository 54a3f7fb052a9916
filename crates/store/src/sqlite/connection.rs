//! One SQLite connection: how it is set up, and how a statement runs on it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags};

use super::failure::map;
use super::file_identity::FileIdentity;
use super::{ffi, interrupt};
use crate::engine_errors::gives_rows;
use crate::read_limits::{Found, Most};
use crate::row::Source;
use crate::value::canonical_json;
use crate::{Cell, FromRow, Row, StoreError, Value, sql};

/// Statements kept prepared by each connection.
const STATEMENTS: usize = 256;
/// How many steps of SQLite's machine pass between two looks at the clock: some ten microseconds.
const STEPS: i32 = 1000;

/// Who uses a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader {
        /// Pages of the file it may keep in memory, in KiB.
        cache_kib: usize,
    },
}

/// Opens the file and sets the connection up, before anything is read from it.
pub(crate) fn open(path: &Path, role: Role, wait: Duration) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time: either its own, or under the lock of its slot.
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX
        | match role {
            // Never made here: a file that went missing would come back empty.
            Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Role::Reader { .. } => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
    ffi::set_up();
    let mut connection = Connection::open_with_flags(path, flags)?;
    let mut since = Instant::now();
    connection.busy_handler(Some(move |tries: i32| {
        if tries == 0 {
            since = Instant::now();
        }
        if since.elapsed() >= wait || interrupt::is_up() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(if tries < 10 { 1 } else { 5 }));
        true
    }))?;
    connection.progress_handler(STEPS, Some(interrupt::is_up))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // As PostgreSQL: "x" is a name and never a string, LIKE heeds case.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.execute_batch("PRAGMA case_sensitive_like = ON")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A statement is planned once, and not again for each value that is put in it: planning costs ten times a look-up.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")?;
    if !ffi::has_temporary_folder(&connection) {
        if role == Role::Writer {
            tracing::warn!(
                "SQLite finds no folder for temporary files that it can write to, and keeps what belongs there in \
                 memory; name one with SQLITE_TMPDIR"
            );
        }
        ffi::keep_temporary_in_memory(&connection)?;
    }
    match role {
        Role::Writer => {
            // Where several switch a new file at once, SQLite tells some of them that it is busy without asking the busy
            // handler, since those who wait for each other would wait for ever.
            let mode: String =
                while_busy(wait, || connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)))?;
            if mode != "wal" {
                return Err(rusqlite::Error::InvalidParameterName(format!("journal_mode is {mode}, not wal")));
            }
            // FULL: NORMAL loses acknowledged commits when the power fails. The log shrinks back to 64 MiB after a burst.
            connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864")?;
        }
        Role::Reader { cache_kib } => {
            // Not mapped instead: a file that is cut off or cannot be read would then end the process (SIGBUS).
            connection.execute_batch(&format!("PRAGMA query_only = ON; PRAGMA cache_size = -{cache_kib}"))?;
        }
    }
    Ok(connection)
}

/// Tries again for as long as the file is busy and `timeout` lasts.
pub(super) fn while_busy<T>(timeout: Duration, mut work: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let since = Instant::now();
    loop {
        match work() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && since.elapsed() < timeout => {
                std::thread::sleep(Duration::from_millis(5));
            }
            answer => return answer,
        }
    }
}

/// A place for a reading connection. It is opened at the start, when there are descriptors for it, and again after it was
/// lost. Held under a lock as a reader slot, and by each reader thread as its own; emptied when the store closes.
#[derive(Debug)]
pub(crate) struct Slot {
    files: Arc<FileIdentity>,
    role: Role,
    wait: Duration,
    closed: Arc<AtomicBool>,
    connection: Option<Connection>,
}

impl Slot {
    pub(crate) fn new(files: Arc<FileIdentity>, cache_kib: usize, wait: Duration, closed: Arc<AtomicBool>) -> Self {
        Self { files, role: Role::Reader { cache_kib }, wait, closed, connection: None }
    }

    pub(crate) fn get(&mut self) -> Result<&Connection, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            self.connection = None;
            return Err(StoreError::unavailable("the store is closed"));
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            empty => {
                // Not another file than the rest of us have open.
                self.files.check()?;
                let opened = open(self.files.path(), self.role, self.wait).map_err(|error| map(error, None))?;
                Ok(empty.insert(opened))
            }
        }
    }

    /// Opens it, with the files that SQLite opens when something is first read.
    pub(crate) fn open(&mut self) -> Result<(), StoreError> {
        let connection = self.get()?;
        let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        read.map_err(|error| map(error, None))
    }

    pub(crate) fn clear(&mut self) {
        self.connection = None;
    }
}

/// What a statement may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Change,
}

fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
    params: &[Value],
    access: Access,
) -> Result<CachedStatement<'c>, StoreError> {
    sql::check(sql)?;
    if interrupt::is_up() {
        return Err(StoreError::Timeout);
    }
    let mut statement = connection.prepare_cached(sql).map_err(|error| map(error, None))?;
    if access == Access::Read && !statement.readonly() {
        return Err(StoreError::internal("a statement that changes something was given to `read`; use `store.tx`"));
    }
    bind(&mut statement, params)?;
    Ok(statement)
}

/// Binds each parameter by the number in its name. SQLite alone would number `$2` before `$1` where it stands first.
fn bind(statement: &mut CachedStatement<'_>, params: &[Value]) -> Result<(), StoreError> {
    let count = statement.parameter_count();
    if count != params.len() {
        return Err(StoreError::internal(format!(
            "{} parameters were given, and the statement has {count}",
            params.len()
        )));
    }
    for at in 1..=count {
        let number = statement.parameter_name(at).and_then(|name| name.strip_prefix('$')).and_then(|n| n.parse().ok());
        let value = number
            .and_then(|number: usize| params.get(number.checked_sub(1)?))
            .ok_or_else(|| StoreError::internal("parameters are written `$1`, `$2`, … without a gap"))?;
        if value.has_nul() {
            return Err(StoreError::internal("a text holds the NUL character, which PostgreSQL cannot keep"));
        }
        statement.raw_bind_parameter(at, value).map_err(|error| map(error, None))?;
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Id(id) => ValueRef::Blob(id.as_bytes()),
            Value::Time(time) => ValueRef::Integer(time.as_micros()),
            Value::Bool(value) => ValueRef::Integer((*value).into()),
            Value::Int(value) | Value::Decimal(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
            Value::Json(json) => return Ok(ToSqlOutput::Owned(rusqlite::types::Value::Text(canonical_json(json)))),
        }))
    }
}

/// As much as there may be.
pub(crate) fn fetch<T: FromRow>(
    connection: &Connection,
    sql: &str,
    params: &[Value],
    access: Access,
    most: Most,
) -> Result<Found<T>, StoreError> {
    let mut statement = prepare(connection, sql, params, access)?;
    let width = statement.column_count();
    if width == 0 {
        return Err(StoreError::internal("the statement gives no rows; use `execute`"));
    }
    let mut found = Found::new();
    let mut rows = statement.raw_query();
    let failure = loop {
        match rows.next() {
            Ok(None) => break None,
            Ok(Some(row)) => {
                let bytes = if most.bytes == usize::MAX { 0 } else { size(row, width) };
                if !found.wants(most, bytes)? {
                    break None;
                }
                found.rows.push(T::from_row(&Row(Source::Sqlite(row, width)))?);
            }
            Err(error) => break Some(error),
        }
    };
    drop(rows);
    drop(statement);
    match failure {
        None => Ok(found),
        Some(error) => Err(map(error, Some(connection))),
    }
}

/// The bytes of a row's values.
fn size(row: &rusqlite::Row<'_>, width: usize) -> usize {
    let of = |index| match row.get_ref(index) {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => bytes.len(),
        _ => size_of::<i64>(),
    };
    (0..width).map(of).sum()
}

/// Runs a statement that changes something; how many rows it changed.
pub(crate) fn execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
    let mut statement = prepare(connection, sql, params, Access::Change)?;
    if statement.column_count() > 0 {
        return Err(gives_rows());
    }
    let result = statement.raw_execute();
    drop(statement);
    result.map(|count| count as u64).map_err(|error| map(error, Some(connection)))
}

/// Whether a statement gives a row.
pub(crate) fn has_row(connection: &Connection, sql: &str, params: &[Value]) -> Result<bool, StoreError> {
    let mut statement = prepare(connection, sql, params, Access::Read)?;
    let found = statement.raw_query().next().map(|row| row.is_some());
    drop(statement);
    found.map_err(|error| map(error, Some(connection)))
}

/// One value of a row.
pub(crate) fn cell<'a>(row: &'a rusqlite::Row<'_>, index: usize) -> Result<Cell<'a>, StoreError> {
    Ok(match row.get_ref(index).map_err(StoreError::internal)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Int(value),
        ValueRef::Real(value) => Cell::Real(value),
        // No program writes what is no UTF-8: the file was damaged where SQLite itself does not notice.
        ValueRef::Text(bytes) => {
            Cell::Text(std::str::from_utf8(bytes).map_err(|error| StoreError::Corrupt { source: error.into() })?)
        }
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
    })
}
