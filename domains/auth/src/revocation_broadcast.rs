//! What nodes that share a Redis tell each other of sessions that ended. It is haste and no more: a node that hears nothing
//! asks the database, within `session_recheck_s`.

use std::sync::Arc;
use std::time::Duration;

use mainstay::cache::{Bus, Heard};
use mainstay::kernel::{Clock, Ctx, SessionId};
use uuid::Uuid;

use crate::revocation::Revocations;

const TOPIC: &str = "auth.ended";

/// How long a caller that ends a session waits for the message to leave.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Notes here what ends elsewhere. The last access token of a session that ends now is good for `life` at most.
pub(crate) fn hear(bus: &Bus, ended: Arc<Revocations>, clock: Clock, life: Duration) {
    bus.subscribe(TOPIC, move |heard| match heard {
        Heard::Message(bytes) if !bytes.is_empty() && bytes.len().is_multiple_of(16) => {
            let ids = bytes.as_chunks().0.iter().map(|id| SessionId::from_uuid(Uuid::from_bytes(*id)));
            let now = clock.now();
            ended.pending().settle(&ids.collect::<Vec<_>>(), now.plus(life), now);
        }
        // More than a message holds; or some were missed.
        Heard::Message(_) | Heard::Gap => ended.invalidate_all(),
    });
}

/// Tells the others. A message that did not leave is no error: they will ask.
pub(crate) async fn tell(bus: &Bus, ctx: &Ctx, sessions: &[SessionId]) {
    if sessions.is_empty() {
        return;
    }
    let mut bytes: Vec<u8> = sessions.iter().flat_map(|id| id.as_uuid().into_bytes()).collect();
    if bytes.len() > Bus::MOST_BYTES {
        bytes.clear();
    }
    let until = ctx.deadline().min(tokio::time::Instant::now() + TIMEOUT);
    if let Err(error) = bus.publish(TOPIC, &bytes, until).await {
        tracing::debug!(target: "mainstay::auth", %error, "other nodes were not told that sessions ended; they will ask");
    }
}
