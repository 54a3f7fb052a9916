#![expect(unsafe_code, reason = "rusqlite has no way to sqlite3_db_status, sqlite3_config and sqlite3_file_control")]

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::Once;

use rusqlite::{Connection, ffi};

/// What SQLite may keep in memory of how pages were before a savepoint or a statement, in bytes. The rest goes to a file
/// in the system's folder for temporary files. With SQLite's own 64 KiB, one insert that splits a few pages would send
/// there what every member after it in the same group changes, which is most of what a busy writer writes.
///
/// Not 128 KiB: SQLite hands over what it kept in one piece, cuts the length to its lowest 17 bits (`seekAndWriteFd`), and
/// takes the zero bytes that are then written for a full disk.
const STATEMENT_JOURNAL: i32 = 127 * 1024;

/// Sets SQLite up, once for the process and before the first connection of ours. Where a program uses SQLite already,
/// beside the store, this is refused and changes nothing.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the option takes one int, by its documentation (sqlite.org/c3ref/c_config_covering_index_scan.html),
        // and is copied. No thread of ours uses SQLite before this returns; once anybody's has, SQLite refuses.
        let code = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_STMTJRNL_SPILL, STATEMENT_JOURNAL) };
        if code != ffi::SQLITE_OK {
            tracing::debug!(code, "SQLite is in use already: it keeps its own limit of journals in memory");
        }
    });
}

/// Whether a foreign key is violated that would only be noticed at the commit, where it would fail the whole group.
pub(crate) fn has_deferred_violations(connection: &Connection) -> bool {
    let (mut current, mut highest) = (0, 0);
    // SAFETY: the handle is open for as long as `connection` is borrowed, and used on this thread alone; both pointers
    // are to live integers, which sqlite3_db_status only writes to.
    let code = unsafe {
        ffi::sqlite3_db_status(
            connection.handle(),
            ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
            &raw mut current,
            &raw mut highest,
            0,
        )
    };
    // "Returns zero for the current value if and only if all foreign key constraints (deferred or immediate) have been
    // resolved" (sqlite.org/c3ref/c_dbstatus_options.html).
    code == ffi::SQLITE_OK && current != 0
}

/// Whether SQLite finds a folder for temporary files that it may write to: `SQLITE_TMPDIR`, `TMPDIR`, the system's, or
/// the one the process was started in (sqlite.org/tempfiles.html section 5).
pub(crate) fn has_temporary_folder(connection: &Connection) -> bool {
    let mut name: *mut c_char = ptr::null_mut();
    // SAFETY: the handle is open for as long as `connection` is borrowed, and used on this thread alone; this operation
    // takes a pointer to a pointer, and writes a string there that sqlite3_free frees, or nothing
    // (sqlite.org/c3ref/c_fcntl_begin_atomic_write.html). The string is not used after it was freed.
    unsafe {
        let op = ffi::SQLITE_FCNTL_TEMPFILENAME;
        let code = ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), op, (&raw mut name).cast());
        let is_named = code == ffi::SQLITE_OK && !name.is_null() && !CStr::from_ptr(name).is_empty();
        ffi::sqlite3_free(name.cast());
        is_named
    }
}

/// Keeps in memory what SQLite would write to temporary files.
pub(crate) fn keep_temporary_in_memory(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA temp_store = MEMORY")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use testkit::{Backend, TestDatabase};

    use super::super::connection::{Role, open};
    use super::{has_temporary_folder, keep_temporary_in_memory};

    /// Files of this process that have no name any more, as SQLite's temporary files. No other test here has any.
    fn temporary_files() -> usize {
        let files = std::fs::read_dir("/proc/self/fd").expect("Linux shows what is open");
        let names = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        names.filter(|name| name.to_string_lossy().ends_with("(deleted)")).count()
    }

    #[test]
    fn what_a_savepoint_would_bring_back_stays_in_memory() {
        testkit::run(async {
            let database = TestDatabase::fresh(Backend::Sqlite).await;
            let path = database.file().unwrap();
            std::fs::File::create(&path).unwrap();
            let connection = open(&path, Role::Writer, Duration::from_secs(1)).unwrap();
            // One row fills most of a page.
            let fill = "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                 INSERT INTO t SELECT i, hex(zeroblob(1500)) FROM n;";
            connection.execute_batch(fill).unwrap();
            let before = temporary_files();
            let more_after = |rows: u32| {
                let change =
                    format!("BEGIN; SAVEPOINT one; UPDATE t SET text = hex(zeroblob(1400)) WHERE id <= {rows}");
                connection.execute_batch(&change).unwrap();
                let files = temporary_files() - before;
                connection.execute_batch("ROLLBACK").unwrap();
                files
            };
            assert_eq!(more_after(25), 0);
            assert_eq!(more_after(2000), 1, "more than may be kept in memory: the test sees such files");
            assert!(has_temporary_folder(&connection));
            keep_temporary_in_memory(&connection).unwrap();
            assert_eq!(more_after(2000), 0);
        });
    }
}
