//! The file that rows are carried over from: read in one transaction that lets nobody else write.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::Time;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::connection::{self, Role};
use super::failure::map;
use super::migrate;
use super::open::explain;
use crate::copy::{Batch, CopyError, CopyKind, Sum, Table};
use crate::migrate::MigrationPlan;
use crate::sql::quoted;
use crate::{StoreError, Value};

/// An SQLite file, held so that nobody changes it.
#[derive(Debug)]
pub(crate) struct Source(Arc<Mutex<Connection>>);

impl Source {
    /// Opens the file and keeps others from writing; it must be up to date.
    pub(crate) async fn open(path: &str, wait_ms: u64, plan: MigrationPlan) -> Result<Self, CopyError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let path = Path::new(&path);
            if !path.is_file() {
                let shown = path.display();
                return Err(CopyError::Refused(format!("there is no file `{shown}` to copy from; correct the path")));
            }
            let connection = connection::open(path, Role::Writer, Duration::from_millis(wait_ms))
                .and_then(|connection| connection.execute_batch("BEGIN IMMEDIATE").map(|()| connection))
                .map_err(|error| explain(path, error))?;
            let known = migrate::recorded(&connection).map_err(|error| map(error, None))?;
            plan.verify(&known)?;
            if let Some((domain, step)) = plan.pending(&known).next() {
                let name = step.name;
                return Err(CopyError::Refused(format!(
                    "the file lacks the step `{name}` of `{domain}`; bring it up to date first, with `migrate`"
                )));
            }
            Ok(Self(Arc::new(Mutex::new(connection))))
        });
        opened.await.map_err(|_| StoreError::internal("opening the file panicked"))?
    }

    /// Runs on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&connection).map_err(|error| map(error, None))
        });
        done.await.map_err(|_| StoreError::internal("reading the file panicked"))?
    }

    /// Compares the file's tables with the server's.
    pub(crate) async fn matching(self, tables: &[Table]) -> Result<Self, CopyError> {
        let all = self
            .with(|connection| {
                let sql = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
                    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> 'mainstay_migrations'";
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
            })
            .await?;
        let is_known = |table: &str, column: &str| all.iter().any(|(t, c)| t == table && c == column);
        for (table, column) in &all {
            let there = tables.iter().find(|other| other.name == *table);
            if there.is_none_or(|there| !there.columns.iter().any(|other| other.name == *column)) {
                return Err(CopyError::Refused(format!(
                    "the file has `{table}.{column}`, and the server's tables do not; copy with the program that both \
                     are of"
                )));
            }
        }
        for table in tables {
            let lacks = table.columns.iter().find(|column| !column.has_default && !is_known(&table.name, &column.name));
            if let Some(column) = lacks {
                return Err(CopyError::Refused(format!(
                    "the server needs `{}.{}`, and the file does not have it; copy with the program that both are of",
                    table.name, column.name
                )));
            }
        }
        Ok(self)
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", quoted(&table.name));
        self.with(move |connection| connection.query_row(&sql, [], |row| row.get::<_, i64>(0))).await.map(|n| n as u64)
    }

    /// The next rows of a table, after that one. Where rows have no number of their own, all of them.
    pub(crate) async fn rows(&self, table: &Table, after: i64, most: usize) -> Result<Batch, StoreError> {
        let table = table.clone();
        self.with(move |connection| {
            let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
            let (columns, name) = (columns.join(", "), quoted(&table.name));
            let numbered = format!("SELECT {columns}, rowid FROM {name} WHERE rowid > ?1 ORDER BY rowid LIMIT ?2");
            let mut batch = Batch { rows: Vec::new(), last: after, is_last: true };
            let (mut statement, is_numbered) = match connection.prepare_cached(&numbered) {
                Ok(statement) => (statement, true),
                // WITHOUT ROWID
                Err(_) => (connection.prepare_cached(&format!("SELECT {columns} FROM {name}"))?, false),
            };
            let mut rows = match is_numbered {
                true => statement.query(rusqlite::params![after, most as i64])?,
                false => statement.query([])?,
            };
            while let Some(row) = rows.next()? {
                let values =
                    table.columns.iter().enumerate().map(|(at, column)| value(row.get_ref(at)?, column.kind, at));
                batch.rows.push(values.collect::<rusqlite::Result<_>>()?);
                if is_numbered {
                    batch.last = row.get(table.columns.len())?;
                }
            }
            batch.is_last = !is_numbered || batch.rows.len() < most;
            Ok(batch)
        })
        .await
    }

    /// What a table holds.
    pub(crate) async fn sum(&self, table: &Table, most: usize) -> Result<Sum, StoreError> {
        let (mut sum, mut after) = (Sum::default(), i64::MIN);
        loop {
            let batch = self.rows(table, after, most).await?;
            batch.rows.iter().for_each(|row| sum.add(row));
            if batch.is_last {
                return Ok(sum);
            }
            after = batch.last;
        }
    }
}

fn value(cell: ValueRef<'_>, kind: CopyKind, at: usize) -> rusqlite::Result<Value> {
    let unfit = || rusqlite::Error::InvalidColumnType(at, format!("{kind:?}"), cell.data_type());
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| unfit());
    Ok(match (cell, kind) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Blob(bytes), CopyKind::Id) => Value::Id(Uuid::from_slice(bytes).map_err(|_| unfit())?),
        (ValueRef::Blob(bytes), CopyKind::Blob) => Value::Blob(bytes.to_vec()),
        (ValueRef::Integer(micros), CopyKind::Time) => Value::Time(Time::from_micros(micros)),
        (ValueRef::Integer(number), CopyKind::Bool) => Value::Bool(number != 0),
        (ValueRef::Integer(number), CopyKind::Int) => Value::Int(number),
        (ValueRef::Text(bytes), CopyKind::Text) => Value::Text(text(bytes)?),
        (ValueRef::Text(bytes), CopyKind::Json) => Value::Json(serde_json::from_slice(bytes).map_err(|_| unfit())?),
        _ => return Err(unfit()),
    })
}
