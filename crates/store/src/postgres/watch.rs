//! Asks the server now and then whether it takes writes. Our transactions say `READ WRITE`, since what stands outside them
//! may only read; so an operator's `default_transaction_read_only` would go unheard, and a standby would be noticed one
//! failure at a time.

use crate::read_limits::Most;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::failure::Failure;
use super::pool::{Pool, Use};
use super::session::Session;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a session that begins now could write: what was set for the role or the database, as both stand now, or else
/// what the server's files say. On a connection of ours that is `reset_val`, since we have set the value itself; where that
/// came from the role or the database when the connection began, it may be out of date.
const IS_READ_ONLY: &str = "SELECT pg_is_in_recovery() OR coalesce(
    (SELECT split_part(setting, '=', 2) FROM pg_catalog.pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
     WHERE setting LIKE 'default\\_transaction\\_read\\_only=%'
         AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))
         AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
     ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1),
    (SELECT CASE WHEN source IN ('database', 'user', 'database user', 'global') THEN 'off' ELSE reset_val END
     FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'))::boolean";

/// Whether the server takes no writes.
pub(crate) async fn is_read_only(session: &mut Session) -> Result<bool, Failure> {
    let rows: Vec<(bool,)> = session.read(IS_READ_ONLY, &[], Most::rows(1)).await?.rows;
    Ok(rows.first().is_some_and(|(is,)| *is))
}

/// Watches as long as the pool is there and open.
pub(crate) async fn watch(pool: Weak<Pool>) {
    loop {
        sleep(EVERY).await;
        let Some(pool) = pool.upgrade().filter(|pool| pool.is_open()) else { return };
        // A server that does not answer is another trouble, which everybody notices.
        let _ = timeout(TIMEOUT, look(&pool)).await;
    }
}

async fn look(pool: &Arc<Pool>) -> Result<(), Failure> {
    if pool.health().is_read_only() {
        // Of a new connection: an old one may be to a server that is not the primary any more.
        let mut session = pool.connect(Use::Alone).await?;
        match is_read_only(&mut session).await? {
            true => pool.try_next_host(),
            false => {
                pool.health().set_read_only(false);
                pool.renew();
            }
        }
        return Ok(());
    }
    // A connection in use is not waited for: a write on it gets the error from the server itself.
    let Some(mut idle) = pool.try_idle() else { return Ok(()) };
    if idle.is_read_only().await? {
        pool.health().set_read_only(true);
    }
    Ok(())
}
