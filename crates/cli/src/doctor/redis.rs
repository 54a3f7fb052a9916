//! What nodes share, as the server would find it.

use cache::{Backend, KeySpace};
use kernel::{Ctx, Random, SecretKey};
use store::Store;

use app::Finding;
use app::{Settings, deployment};

/// The part of Redis that is this deployment's, where it is known: a database without tables has no deployment yet.
pub async fn space(settings: &Settings, database: Option<&Store>, ctx: &Ctx) -> Option<KeySpace> {
    if !settings.cache.namespace.is_empty() {
        return KeySpace::new(&settings.cache.namespace).ok();
    }
    let secret = SecretKey::new(settings.secret_key.expose()).ok()?;
    let id = deployment::find_id(database?, ctx).await.ok()??;
    deployment::key_space(&settings.cache, &secret, id).ok()
}

/// Asks the Redis of the settings, if there is one.
pub async fn check(settings: &Settings, space: Option<&KeySpace>, ctx: &Ctx, random: &Random) -> Vec<Finding> {
    // Nothing is kept there meanwhile, whatever the name.
    let Some(space) = space.cloned().or_else(|| KeySpace::new("doctor").ok()) else { return Vec::new() };
    // Wrong settings were told before.
    let Ok(backend) = Backend::open(&settings.cache, &space, random).await else { return Vec::new() };
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
