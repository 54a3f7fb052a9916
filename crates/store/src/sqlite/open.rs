//! Opening the file, and saying what to do when it cannot be.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, ffi};

use super::connection::{self, Role, while_busy};
use crate::{OpenError, OpenErrorKind, StoreSettings};

/// The writer's connection and the file's absolute path.
pub(crate) fn writer(path: &str, wait: Duration) -> Result<(PathBuf, Connection), OpenError> {
    let path = std::path::absolute(path).map_err(|error| {
        OpenError::new(OpenErrorKind::Settings, format!("`{path}` is no path; name a file in `url`")).because(error)
    })?;
    prepare(&path)?;
    if let Some(table) = foreign_table(&path, wait).map_err(|error| explain(&path, error))? {
        return Err(foreign(&path, &table));
    }
    let connection = connection::open(&path, Role::Writer, wait)
        .and_then(|connection| {
            // The first look into the file: this is where a damaged one is noticed.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            let is_read_only = connection.is_readonly("main")?;
            Ok((connection, is_read_only))
        })
        .map_err(|error| explain(&path, error))?;
    match connection {
        (connection, false) => Ok((path, connection)),
        (_, true) => Err(not_writable(&path)),
    }
}

/// Checks what the file system says, which SQLite tells only as "unable to open database file", and makes a new file
/// readable by its owner alone.
fn prepare(path: &Path) -> Result<(), OpenError> {
    let shown = path.display();
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        return Err(OpenError::new(
            OpenErrorKind::NoFolder,
            format!(
                "the folder `{}` for the database does not exist; create it with `mkdir -p {}`, or name another file in \
                 `url`",
                folder.display(),
                folder.display()
            ),
        ));
    }
    if path.is_dir() {
        return Err(OpenError::new(
            OpenErrorKind::Settings,
            format!(
                "`{shown}` is a folder; name a file in it, `{}`",
                StoreSettings::sqlite_url(&format!("{shown}/mainstay.db"))
            ),
        ));
    }
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => not_writable(path),
            io::ErrorKind::StorageFull => full(path),
            _ => OpenError::new(OpenErrorKind::Other, format!("the database `{shown}` cannot be opened")),
        }
        .because(error)),
    }
}

/// A table of a file that has some, and not our record: looked for by a connection that changes nothing, where the writer's
/// would make the file keep its log differently from then on. Litestream makes tables of its own before anybody else.
fn foreign_table(path: &Path, wait: Duration) -> rusqlite::Result<Option<String>> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        return Ok(None);
    }
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        AND name NOT LIKE '\\_litestream\\_%' ESCAPE '\\'
        AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'mainstay_migrations') LIMIT 1";
    // Where another process makes it at the moment, SQLite says that it is busy without asking the busy handler.
    while_busy(wait, || {
        let connection = connection::open(path, Role::Reader { cache_kib: 100 }, wait)?;
        connection.query_row(sql, [], |row| row.get(0)).optional()
    })
}

fn foreign(path: &Path, table: &str) -> OpenError {
    OpenError::new(
        OpenErrorKind::Foreign,
        format!(
            "`{}` is another program's database (it has a table `{table}`, and no record of ours), and is left as it is; name \
             another file in `url`",
            path.display()
        ),
    )
}

fn not_writable(path: &Path) -> OpenError {
    let shown = path.display();
    OpenError::new(
        OpenErrorKind::ReadOnly,
        format!(
            "the database `{shown}` may not be written, or its folder may not; give both to the user the server runs \
             as (`ls -ld {} {shown}` shows whose they are), and check that the file system is mounted writable",
            path.parent().unwrap_or(Path::new("/")).display()
        ),
    )
}

fn full(path: &Path) -> OpenError {
    OpenError::new(
        OpenErrorKind::Full,
        format!("the disk of the database `{}` is full; make room (`df -h` shows how much there is)", path.display()),
    )
}

pub(super) fn explain(path: &Path, error: rusqlite::Error) -> OpenError {
    let shown = path.display();
    let code = error.sqlite_error().map_or(ffi::SQLITE_ERROR, |failure| failure.extended_code) & 0xff;
    match code {
        ffi::SQLITE_NOTADB => OpenError::new(
            OpenErrorKind::NotADatabase,
            format!(
                "`{shown}` is not an SQLite database, or its beginning is damaged; name another file in `url`, or restore \
                 it from a backup"
            ),
        ),
        ffi::SQLITE_CORRUPT => OpenError::new(
            OpenErrorKind::Corrupt,
            format!(
                "the database `{shown}` is damaged; keep a copy of it and of `{shown}-wal`, then restore a backup, or save \
                 what can be read with `sqlite3 {shown} .recover`"
            ),
        ),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => OpenError::new(
            OpenErrorKind::Locked,
            format!(
                "another process holds the database `{shown}` locked; stop it (`fuser {shown}` shows which), or raise \
                 `wait_ms`"
            ),
        ),
        ffi::SQLITE_READONLY | ffi::SQLITE_CANTOPEN | ffi::SQLITE_PERM => not_writable(path),
        ffi::SQLITE_FULL => full(path),
        _ => OpenError::new(
            OpenErrorKind::Other,
            format!(
                "the database `{shown}` cannot be opened; it must lie on a local disk, since network file systems lack the \
                 locks it needs"
            ),
        ),
    }
    .because(error)
}
