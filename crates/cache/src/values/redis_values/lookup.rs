//! Values that another node may have put where all find them.

use std::sync::Arc;
use std::time::Duration;

use kernel::Ctx;
use tokio::time::{Instant, sleep};

use super::super::cached::{Cached, Loaded};
use super::super::key::Key;
use super::{Begun, Found, RedisValues, Ticket};

/// The pauses between looks for what another node loads: from this, up to so much more.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_MORE: Duration = Duration::from_millis(30);

/// What came of asking what nodes share.
pub(in crate::values) enum Sought<T> {
    /// It is there.
    Found(Loaded<T>),
    /// It is to be loaded.
    Load(Right),
}

/// What may be done with what is loaded.
pub(in crate::values) enum Right {
    /// It may be put where all find it.
    Share(Ticket),
    /// It stays on this node.
    Own,
    /// A change is under way on some node: it is kept nowhere.
    Nothing,
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// Asks what nodes share, where there is such a thing, it answers, and is to be believed.
    pub(in crate::values) async fn ask_shared(&self, ctx: &Ctx, key: &Key) -> Sought<T> {
        let config = &self.0.config;
        match &self.0.inner.shared {
            Some(shared) if !config.is_local_only && key.entity() == config.name => self.seek(ctx, shared, key).await,
            _ => Sought::Load(Right::Own),
        }
    }

    async fn seek(&self, ctx: &Ctx, shared: &RedisValues, key: &Key) -> Sought<T> {
        let config = &self.0.config;
        let until = ctx.deadline();
        // Half of the time is for a load of its own.
        let give_up_at = Instant::now() + ctx.remaining() / 2;
        let Ok(connection) = shared.connection() else { return Sought::Load(Right::Own) };
        loop {
            // Each time: what is forgotten meanwhile may not have been told there.
            if shared.pending.has_key(key) {
                return Sought::Load(Right::Own);
            }
            let Ok(found) = shared.find(&connection, key, until).await else { return Sought::Load(Right::Own) };
            let mut old = None;
            if let Some(found) = found.filter(|found| !shared.pending.has_tag(&found.tags))
                && let Some((loaded, is_fresh)) = self.read(ctx, found)
            {
                if is_fresh {
                    return Sought::Found(loaded);
                }
                old = Some(loaded);
            }
            if !self.is_worth(key) {
                return Sought::Load(Right::Own);
            }
            match shared.begin(&connection, key, config.longest(), until, until).await {
                Ok(Begun::Yes(ticket)) => return Sought::Load(Right::Share(ticket)),
                Ok(Begun::Another(_)) if config.is_everywhere && old.is_some() => {
                    return old.map_or(Sought::Load(Right::Own), Sought::Found);
                }
                Ok(Begun::Another(_)) if config.is_everywhere => {
                    if Instant::now() >= give_up_at {
                        return Sought::Load(Right::Own);
                    }
                    sleep(LOOK + ctx.random().part_of(LOOK_MORE)).await;
                }
                Ok(Begun::Another(ticket)) => return Sought::Load(Right::Share(ticket)),
                Ok(Begun::Not) => return Sought::Load(Right::Nothing),
                Err(_) => return Sought::Load(Right::Own),
            }
        }
    }

    /// A value of another node, and whether it is fresh; none if it is over, or cannot be read. Where the nodes' clocks
    /// differ, it is kept no longer than one of its own would be.
    fn read(&self, ctx: &Ctx, found: Found) -> Option<(Loaded<T>, bool)> {
        let config = &self.0.config;
        let now = ctx.now();
        let (keep, stale) =
            if found.bytes.is_none() { (config.keep_absent, Duration::ZERO) } else { (config.keep, config.stale) };
        let fresh_until_us = found.until_us.0.min(now.plus(keep).as_micros());
        let stale_until_us = found.until_us.1.min(now.plus(keep).plus(stale).as_micros());
        if now.as_micros() >= stale_until_us {
            return None;
        }
        let value = match (&found.bytes, &config.codec) {
            (None, _) => None,
            (Some(bytes), codec) => Some(Arc::new(codec.as_ref()?.decode(bytes)?)),
        };
        let is_fresh = now.as_micros() < fresh_until_us;
        let until_us = (fresh_until_us, stale_until_us);
        Some((Loaded { value, bytes: found.bytes, tags: found.tags, until_us, may_be_kept: true }, is_fresh))
    }

    /// Puts what was loaded where other nodes find it, if it is kept here. It is no error if Redis does not take it.
    pub(in crate::values) async fn fill_shared(&self, ctx: &Ctx, ticket: Ticket, loaded: &Loaded<T>, is_kept: bool) {
        let Some(shared) = &self.0.inner.shared else { return };
        let has_form = loaded.value.is_none() || loaded.bytes.is_some();
        if !is_kept || !has_form || shared.pending.has_tag(&loaded.tags) {
            return self.release_shared(ctx, ticket).await;
        }
        let left = loaded.until_us.1.saturating_sub(ctx.now().as_micros());
        let keep = Duration::from_micros(u64::try_from(left).unwrap_or(0));
        let bytes = loaded.bytes.as_deref();
        let _ = shared.fill(&ticket, bytes, &loaded.tags, loaded.until_us, keep, ctx.deadline()).await;
    }

    /// Lets another node load at once, where they wait for each other.
    pub(in crate::values) async fn release_shared(&self, ctx: &Ctx, ticket: Ticket) {
        if let Some(shared) = self.0.inner.shared.as_ref().filter(|_| self.0.config.is_everywhere) {
            shared.release(&ticket, ctx.deadline()).await;
        }
    }
}
