#![expect(unsafe_code, reason = "rusqlite has no way to sqlite3_db_status")]

use rusqlite::{Connection, ffi};

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
