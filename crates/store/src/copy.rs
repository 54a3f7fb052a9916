//! Carries a product's rows from an SQLite file to a PostgreSQL server: whole, verified, and from where it was stopped.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use kernel::Clock;

use crate::migrate::MigrationPlan;
use crate::postgres::Target;
use crate::settings::DatabaseLocation;
use crate::sqlite::Source;
use crate::value::canonical_json;
use crate::{Dialect, EventHandlers, MigrateError, Migrations, OpenError, Store, StoreError, StoreSettings, Value};

/// Rows that are carried over in one transaction.
const BATCH: usize = 5000;

/// How far a copy has come. Told after each batch of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress<'a> {
    /// The domain.
    pub domain: &'a str,
    /// The table.
    pub table: &'a str,
    /// What is done to it.
    pub stage: CopyStage,
    /// Rows of it that this is done for.
    pub rows: u64,
    /// Rows it has.
    pub of: u64,
}

/// What a copy does to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStage {
    /// Its rows are carried over.
    Copied,
    /// Its rows were read again on both sides, and are the same.
    Verified,
}

/// What was carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Tables.
    pub tables: usize,
    /// Rows in them.
    pub rows: u64,
    /// Whether an earlier copy had been stopped half way, and this one went on from there.
    pub is_resumed: bool,
}

/// Why a copy did not come to its end. What was carried over stays, and the same copy goes on from there.
#[derive(Debug)]
pub enum CopyError {
    /// It cannot be done like this: why, and what to do.
    Refused(String),
    /// A table is not the same on both sides after all was carried over.
    Differs {
        /// The domain.
        domain: String,
        /// The table.
        table: String,
        /// Rows in the file.
        from: u64,
        /// Rows on the server.
        to: u64,
    },
    /// One of the two could not be opened.
    Open(OpenError),
    /// The server's tables could not be made.
    Migrate(MigrateError),
    /// One of the two failed.
    Store(StoreError),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(advice) => f.write_str(advice),
            Self::Differs { domain, table, from, to } => write!(
                f,
                "`{table}` of `{domain}` has {from} rows in the file and {to} on the server, or other ones: the file was \
                 changed between two runs; empty the server's database and copy again"
            ),
            Self::Open(_) => f.write_str("a database cannot be opened"),
            Self::Migrate(_) => f.write_str("the server's tables cannot be made"),
            Self::Store(_) => f.write_str("the copy was stopped; the same command goes on from there"),
        }
    }
}

impl std::error::Error for CopyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) | Self::Differs { .. } => None,
            Self::Open(error) => Some(error),
            Self::Migrate(error) => Some(error),
            Self::Store(error) => Some(error),
        }
    }
}

impl From<OpenError> for CopyError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<MigrateError> for CopyError {
    fn from(error: MigrateError) -> Self {
        Self::Migrate(error)
    }
}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Carries every row of these domains from the SQLite file of `from` to the PostgreSQL database of `to`, which must be
/// empty, or hold the beginning of the same copy. Nobody can write to the file meanwhile, and no store brings the server's
/// database up to date before the copy is whole and verified.
///
/// # Errors
/// What stands in the way, and what to do.
pub async fn copy(
    from: &StoreSettings,
    to: &StoreSettings,
    sets: &[Migrations],
    clock: &Clock,
    told: &mut (dyn FnMut(CopyProgress<'_>) + Send),
) -> Result<Copied, CopyError> {
    for settings in [from, to] {
        settings.validate().map_err(CopyError::Refused)?;
    }
    let (Ok(DatabaseLocation::Sqlite(path)), Ok(DatabaseLocation::Postgres(_))) = (from.place(), to.place()) else {
        return Err(CopyError::Refused(
            "rows are carried from SQLite to PostgreSQL: `--from sqlite://… --to postgres://…`".to_owned(),
        ));
    };
    let source = Source::open(&path, from.wait_ms, MigrationPlan::new(sets, Dialect::Sqlite)?).await?;
    let store = Store::open(to, EventHandlers::new()).await?;
    let target = Target::open(&store).await?;
    let is_resumed = target.is_begun().await?;
    if !is_resumed {
        store.migrate(sets, clock).await?;
    }
    let domains: Vec<&str> = sets.iter().map(|set| set.domain).collect();
    let tables = target.tables(&domains).await?;
    let source = source.matching(&tables).await?;
    if !is_resumed {
        target.begin(&tables).await?;
    }

    let mut rows = 0;
    for table in &tables {
        let mut done = target.done(table).await?;
        let of = source.count(table).await?;
        let tell = |stage, rows| CopyProgress { domain: &table.domain, table: &table.name, stage, rows, of };
        while !done.is_whole {
            let batch = source.rows(table, done.last, BATCH).await?;
            done = target.write(table, &done, batch).await?;
            told(tell(CopyStage::Copied, done.rows));
        }
        rows += of;
    }
    // What counts is what can be read again, on both sides.
    for table in &tables {
        let (before, after) = (source.sum(table, BATCH).await?, target.sum(table).await?);
        if before != after {
            return Err(CopyError::Differs {
                domain: table.domain.clone(),
                table: table.name.clone(),
                from: before.rows,
                to: after.rows,
            });
        }
        let (rows, of) = (after.rows, before.rows);
        told(CopyProgress { domain: &table.domain, table: &table.name, stage: CopyStage::Verified, rows, of });
    }
    target.end().await?;
    store.close().await;
    Ok(Copied { tables: tables.len(), rows, is_resumed })
}

/// A table as the server knows it, of what the file has too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) domain: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// A column, and what its values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: CopyKind,
    /// Whether a row need not say it.
    pub(crate) has_default: bool,
}

/// What the values of a column are: the type words of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyKind {
    Id,
    Time,
    Json,
    Bool,
    Int,
    Text,
    Blob,
}

/// Rows in the order in which they are carried over.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Vec<Value>>,
    /// Where the last of them is.
    pub(crate) last: i64,
    /// Whether there are no more.
    pub(crate) is_last: bool,
}

/// How far a table has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) rows: u64,
    pub(crate) last: i64,
    pub(crate) is_whole: bool,
}

/// What a table holds, whatever the order of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    sum: u128,
}

impl Sum {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: &[Value]) {
        // Two of 64 bits, which begin differently: a row in a million that went wrong should not hide.
        let half = |first: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(first);
            row.iter().for_each(|value| feed(&mut hasher, value));
            u128::from(hasher.finish())
        };
        self.sum = self.sum.wrapping_add(half(0) << 64 | half(1));
        self.rows += 1;
    }
}

fn feed(hasher: &mut DefaultHasher, value: &Value) {
    let mut bytes = |kind: u8, bytes: &[u8]| {
        hasher.write_u8(kind);
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    };
    match value {
        Value::Null => bytes(0, &[]),
        Value::Id(id) => bytes(1, id.as_bytes()),
        Value::Time(time) => bytes(2, &time.as_micros().to_le_bytes()),
        Value::Bool(value) => bytes(3, &[u8::from(*value)]),
        Value::Int(value) | Value::Decimal(value) => bytes(4, &value.to_le_bytes()),
        Value::Text(text) => bytes(5, text.as_bytes()),
        Value::Blob(blob) => bytes(6, blob),
        Value::Json(json) => bytes(7, canonical_json(&plain(json.clone())).as_bytes()),
    }
}

/// JSON whose numbers are what a reader of doubles sees, since `jsonb` writes some of them otherwise: 1e2 as 100.
fn plain(json: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match json {
        Value::Number(number) => number.as_f64().map_or(Value::Number(number), Value::from),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sum_is_of_the_rows_and_not_of_their_order() {
        let rows = [vec![Value::Int(1), Value::Text("a".into())], vec![Value::Int(2), Value::Null]];
        let sum = |rows: &[Vec<Value>]| {
            let mut sum = Sum::default();
            rows.iter().for_each(|row| sum.add(row));
            sum
        };
        let turned = [rows[1].clone(), rows[0].clone()];
        assert_eq!(sum(&rows), sum(&turned));
        assert_ne!(sum(&rows), sum(&rows[..1]));
        for other in [
            [vec![Value::Int(1), Value::Text("b".into())], rows[1].clone()],
            [vec![Value::Text("a".into()), Value::Int(1)], rows[1].clone()],
            [vec![Value::Int(1), Value::Text("a".into())], vec![Value::Int(2), Value::Text(String::new())]],
        ] {
            assert_ne!(sum(&rows), sum(&other), "{other:?}");
        }
    }

    #[test]
    fn numbers_in_json_count_by_what_they_are() {
        assert_eq!(plain(json!({ "a": [1e2, 7] })), plain(json!({ "a": [100, 7.0] })));
        assert_ne!(plain(json!([1])), plain(json!([2])));
    }
}
