//! Brings the file's tables up to date. Runs on the writer's thread, alone.

use std::time::Duration;

use kernel::Clock;
use rusqlite::{Connection, Error};

use super::connection::while_busy;
use super::failure::map;
use crate::migrate::{Known, MigrationPlan, Step};
use crate::{Applied, MigrateError, StoreError};

/// How long another process's migration is waited for.
const TIMEOUT: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS mainstay_migrations (
    domain TEXT NOT NULL,
    step INT NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INT NOT NULL,
    PRIMARY KEY (domain, step)
) STRICT, WITHOUT ROWID";

pub(crate) fn run(
    connection: &mut Connection,
    plan: &MigrationPlan,
    clock: &Clock,
) -> Result<Vec<Applied>, MigrateError> {
    let (known, taken) = in_transaction(connection, |connection| {
        let known = recorded(connection)?;
        let taken = taken(connection, plan, &known)?;
        // Nothing is made where not all can be.
        if taken.is_empty() {
            connection.execute_batch(TABLE)?;
        }
        Ok((known, taken))
    })?;
    plan.verify(&known)?;
    refuse(&taken)?;
    let mut applied = Vec::new();
    for (domain, step) in plan.pending(&known) {
        if apply(connection, domain, step, clock).map_err(|source| step.failed(domain, source))? {
            applied.push(Applied { domain, step: step.number, name: step.name });
        }
    }
    Ok(applied)
}

/// The tables that are to be made by a domain that has made none yet, and are there already.
fn taken(connection: &Connection, plan: &MigrationPlan, known: &[Known]) -> rusqlite::Result<Vec<String>> {
    let mut taken = Vec::new();
    let mut named = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?;
    for table in plan.unmade_tables(known) {
        if named.exists([table])? {
            taken.push(table.to_owned());
        }
    }
    Ok(taken)
}

/// What is there already is another program's.
pub(crate) fn refuse(taken: &[String]) -> Result<(), MigrateError> {
    if taken.is_empty() {
        return Ok(());
    }
    Err(MigrateError::Refused(format!(
        "the file is another program's database: it has tables that are to be made, and were not made by this program: `{}`; \
         name another file in `database.url` (nothing was made)",
        taken.join("`, `")
    )))
}

/// What the file remembers, if it remembers anything.
pub(crate) fn recorded(connection: &Connection) -> rusqlite::Result<Vec<Known>> {
    // Asked of the file: what the connection knows of the tables by itself may be of before another process made them.
    match connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'mainstay_migrations'")?.exists([])? {
        true => known(connection),
        false => Ok(Vec::new()),
    }
}

fn known(connection: &Connection) -> rusqlite::Result<Vec<Known>> {
    let mut statement = connection.prepare("SELECT domain, step, name, checksum FROM mainstay_migrations")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.collect()
}

/// Applies one step; `false` when another process has done it meanwhile.
fn apply(connection: &mut Connection, domain: &str, step: &Step, clock: &Clock) -> Result<bool, StoreError> {
    // With foreign keys on, dropping a table deletes its rows first, and with them those that refer to it: a table that
    // is rebuilt would lose its children (sqlite.org/lang_altertable.html, section 7). They are checked at the end.
    let rebuilds = step.statements.iter().any(|text| {
        let mut words = crate::sql::tokens(text).filter(|token| !token.is_blank());
        words.next().is_some_and(|token| token.is("DROP")) && words.next().is_some_and(|token| token.is("TABLE"))
    });
    // Has an effect only outside a transaction.
    if rebuilds {
        connection.pragma_update(None, "foreign_keys", false).map_err(|error| map(error, None))?;
    }
    let result = in_transaction(connection, |connection| {
        let done = connection
            .prepare("SELECT 1 FROM mainstay_migrations WHERE domain = ?1 AND step = ?2")?
            .exists((domain, step.number))?;
        if done {
            return Ok(false);
        }
        for statement in &step.statements {
            connection.execute_batch(statement)?;
        }
        connection.execute(
            "INSERT INTO mainstay_migrations (domain, step, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            (domain, step.number, step.name, &step.checksum, clock.now().as_micros()),
        )?;
        if rebuilds && connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
            return Err(Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY),
                Some("rows refer to others that this step took away".to_owned()),
            ));
        }
        Ok(true)
    });
    if rebuilds {
        connection.pragma_update(None, "foreign_keys", true).map_err(|error| map(error, None))?;
    }
    result
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    // Another process may be at it for longer than the busy handler waits.
    while_busy(TIMEOUT, || connection.execute_batch("BEGIN IMMEDIATE")).map_err(|error| map(error, None))?;
    let result = work(connection).and_then(|value| connection.execute_batch("COMMIT").map(|()| value));
    result.map_err(|error| {
        let error = map(error, Some(connection));
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = &error as &dyn std::error::Error, "a migration cannot be rolled back");
        }
        error
    })
}
