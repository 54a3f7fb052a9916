//! From SQLite's errors to ours.

use rusqlite::{Connection, Error, ffi};

use crate::migrate::TYPE_CHECK;
use crate::{StoreError, Violation, ViolationKind};

/// What an error means. `connection` is asked for the name of a violated index; its statements must be reset.
pub(crate) fn map(error: Error, connection: Option<&Connection>) -> StoreError {
    let (code, text) = match &error {
        Error::SqliteFailure(failure, text) => (failure.extended_code, text.clone().unwrap_or_default()),
        Error::SqlInputError { error: failure, msg, .. } => (failure.extended_code, msg.clone()),
        _ => return StoreError::internal(error),
    };
    match code & 0xff {
        ffi::SQLITE_FULL => StoreError::Full,
        ffi::SQLITE_READONLY => StoreError::ReadOnly,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => StoreError::Corrupt { source: error.into() },
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => {
            // The busy handler gives up at the deadline as well.
            if super::interrupt::is_up() { StoreError::Timeout } else { StoreError::Busy }
        }
        ffi::SQLITE_INTERRUPT => StoreError::Timeout,
        ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN | ffi::SQLITE_NOMEM | ffi::SQLITE_NOLFS => {
            StoreError::unavailable(error)
        }
        ffi::SQLITE_CONSTRAINT => match violation(code, &text, connection) {
            Some(violation) => StoreError::Violation(violation),
            None => StoreError::internal(error),
        },
        _ => StoreError::internal(error),
    }
}

fn violation(code: i32, text: &str, connection: Option<&Connection>) -> Option<Violation> {
    let told = text.split_once(": ").map_or("", |(_, told)| told);
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            // SQLite reports an index on an expression by its name: `index 'accounts_lower_email'`.
            if let Some(index) = told.strip_prefix("index '").and_then(|rest| rest.strip_suffix('\'')) {
                return Some(Violation {
                    constraint: Some(index.to_owned()),
                    ..Violation::bare(ViolationKind::Unique)
                });
            }
            let (table, columns) = table_and_columns(told)?;
            let constraint = if code == ffi::SQLITE_CONSTRAINT_UNIQUE {
                connection
                    .and_then(|connection| named_index(connection, &table, &columns).ok().flatten())
                    .unwrap_or_else(|| format!("{table}_{}_key", columns.join("_")))
            } else {
                format!("{table}_pkey")
            };
            Some(Violation { kind: ViolationKind::Unique, constraint: Some(constraint), table: Some(table), columns })
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let (table, columns) = table_and_columns(told)?;
            Some(Violation { kind: ViolationKind::NotNull, constraint: None, table: Some(table), columns })
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Some(Violation::bare(ViolationKind::ForeignKey)),
        ffi::SQLITE_CONSTRAINT_CHECK if told != TYPE_CHECK => {
            Some(Violation { constraint: Some(told.to_owned()), ..Violation::bare(ViolationKind::Check) })
        }
        _ => None,
    }
}

/// `members.org_id, members.user_id`.
fn table_and_columns(told: &str) -> Option<(String, Vec<String>)> {
    let mut table = None;
    let mut columns = Vec::new();
    for part in told.split(", ") {
        let (of, column) = part.split_once('.')?;
        table = Some(of.to_owned());
        columns.push(column.to_owned());
    }
    Some((table?, columns))
}

/// The name of the index made with `CREATE UNIQUE INDEX` on exactly these columns.
fn named_index(connection: &Connection, table: &str, columns: &[String]) -> rusqlite::Result<Option<String>> {
    let mut indexes = connection.prepare_cached(
        "SELECT i.name, (SELECT group_concat(c.name, ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) c) \
         FROM pragma_index_list(?1) i WHERE i.\"unique\" AND i.origin = 'c' ORDER BY i.name",
    )?;
    let wanted = columns.join(",");
    let found = indexes.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    for index in found {
        let (name, on) = index?;
        if on.as_deref() == Some(wanted.as_str()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
