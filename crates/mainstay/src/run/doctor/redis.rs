//! What nodes share, as the server would find it.

use cache::Backend;
use kernel::{Ctx, Random};

use super::Finding;
use crate::Settings;

/// Asks the Redis of the settings, if there is one.
pub async fn examine(settings: &Settings, ctx: &Ctx, random: &Random) -> Vec<Finding> {
    // Wrong settings were told before.
    let Ok(backend) = Backend::open(&settings.cache, random).await else { return Vec::new() };
    let facts = backend.facts(ctx.deadline()).await;
    backend.close().await;
    match facts {
        Ok(None) => Vec::new(),
        Ok(Some(facts)) => facts.evicts.into_iter().map(|policy| evicts(&policy)).collect(),
        Err(error) => vec![Finding::serious(
            "redis_not_answering",
            format!("The Redis of cache.url does not do what it is asked: {error}."),
            "Start it, or correct cache.url. Until then each node keeps limits and caches by itself.",
        )],
    }
}

fn evicts(policy: &str) -> Finding {
    Finding::advice(
        "redis_evicts",
        format!(
            "Redis throws away what it was given when it is full ({policy}); an allowance that is gone is a full one."
        ),
        "Set its maxmemory-policy to noeviction: nodes do without what it refuses.",
    )
}
