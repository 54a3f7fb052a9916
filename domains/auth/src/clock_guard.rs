use std::time::Duration;

use mainstay::kernel::{Ctx, Time};
use mainstay::prelude::*;

use crate::store;

/// Further ahead than this, it was the clock of then that was wrong, not today's.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);

/// Nodes differ by less.
const NOTICED: Duration = Duration::from_secs(30);

/// A process that starts after the machine's clock was set back would believe tokens that had expired before. The latest
/// use of a session is a moment that has been: time goes on from there, as it does in a process that runs on.
pub(crate) async fn resume(boot: &Boot, ctx: &Ctx) -> Result<(), StoreError> {
    let Some(seen) = store::last_seen_at(&boot.store().read(ctx)).await? else { return Ok(()) };
    let now = boot.clock().now();
    if seen <= now {
        return Ok(());
    }
    let ahead_s = seen.as_secs() - now.as_secs();
    if seen > now.plus(BELIEVED) {
        tracing::error!(ahead_s, "sessions were used later than now: this clock is wrong, or was; it is believed");
        return Ok(());
    }
    if seen > now.plus(NOTICED) {
        tracing::warn!(ahead_s, "the clock was set back: time goes on from the latest use of a session");
    }
    boot.clock().not_before(seen);
    Ok(())
}

/// How far the database is ahead of this moment, in seconds, where that is more than nodes differ by.
pub(crate) fn ahead_s(seen: Option<Time>, now: Time) -> Option<i64> {
    seen.filter(|seen| *seen > now.plus(NOTICED)).map(|seen| seen.as_secs() - now.as_secs())
}
