//! What the nodes of one deployment have in common: a row in their database. From it follows their name among those who
//! share a Redis, and by writing to it a node finds out whether the database takes writes.

mod store;

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::store::{Migrations, Store, StoreError, migrations};
use cache::{CacheSettings, KeySpace};
use kernel::{Ctx, Id, IdKind, SecretKey};
use tokio::time::Instant;

use crate::Domain;

/// How long after a write that failed another may be tried.
const RETRY: Duration = Duration::from_secs(1);
/// How long nothing may have been written before it is found out whether it could be: of a disk that was filled by somebody
/// else no request need have told.
const QUIET: Duration = Duration::from_secs(15);

/// What a [`DeploymentId`] identifies.
pub struct DeploymentKind;

impl IdKind for DeploymentKind {
    const PREFIX: &'static str = "dep";
    const NAME: &'static str = "DeploymentId";
}

/// A deployment: all the nodes that have one database.
pub type DeploymentId = Id<DeploymentKind>;

/// The platform's own part of every app that tells deployments apart.
pub(crate) fn domain() -> Domain {
    const TABLES: Migrations = migrations!("mainstay_deployment", "0001_deployment");
    Domain::new("mainstay_deployment").migrations(TABLES)
}

/// The deployment's id, if it has been started before.
pub async fn find_id(store: &Store, ctx: &Ctx) -> Result<Option<DeploymentId>, StoreError> {
    store::find_id(&store.read(ctx)).await
}

/// The deployment's id, which the first node to start makes.
pub(crate) async fn id(store: &Store, ctx: &Ctx) -> Result<DeploymentId, StoreError> {
    if let Some(id) = find_id(store, ctx).await? {
        return Ok(id);
    }
    let new = DeploymentId::new(ctx.clock(), ctx.random());
    let now = ctx.now();
    let create = move |tx| async move {
        store::create_deployment(&tx, new, now).await?;
        // Another node may have been first.
        Ok::<_, StoreError>(store::find_id(&tx).await?.unwrap_or(new))
    };
    store.tx(ctx, create).await
}

/// The deployment's part of a Redis that others share: as the settings name it, or by a name that follows from its id, and
/// from its secret, which a copy of the database for trials should not have.
///
/// # Errors
/// When the settings name it wrongly.
pub fn key_space(settings: &CacheSettings, secret: &SecretKey, id: DeploymentId) -> Result<KeySpace, String> {
    if !settings.namespace.is_empty() {
        return KeySpace::new(&settings.namespace);
    }
    let key = secret.derive(&format!("the name of {id} among those who share a Redis"));
    let mut name = String::with_capacity(16);
    for byte in &key[..8] {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    KeySpace::new(&name)
}

/// Whether the database takes writes. Held by the readiness check.
#[derive(Debug)]
pub(crate) struct Writes {
    store: Store,
    looked: Mutex<Looked>,
}

#[derive(Debug)]
struct Looked {
    /// When something was known to be written, or was tried to be.
    at: Instant,
    /// Whether a look is under way.
    is_looking: bool,
}

/// A look that is under way. It is over when this is gone, however that comes.
struct Looking<'a>(&'a Writes);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        (looked.at, looked.is_looking) = (Instant::now(), false);
    }
}

impl Writes {
    pub(crate) fn new(store: Store) -> Self {
        // At the start it was read and written.
        Self { store, looked: Mutex::new(Looked { at: Instant::now(), is_looking: false }) }
    }

    /// Whether the database answers, and takes writes as far as is known. Where a write failed lately, or there was none for
    /// a while, one is tried: however often this is asked, not more than one in a second, by one caller at a time.
    pub(crate) async fn are_taken(&self, ctx: &Ctx) -> bool {
        if self.store.ping(ctx).await.is_err() {
            return false;
        }
        if let Some(_looking) = self.begin_look() {
            let now = ctx.now();
            let probe = move |tx| async move { store::update_probe(&tx, now).await };
            if let Err::<(), StoreError>(error) = self.store.tx(ctx, probe).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a write that was tried failed");
                // One that had to wait too long says nothing of the next.
                return self.store.trouble().is_none() && matches!(error, StoreError::Busy | StoreError::Timeout);
            }
        }
        self.store.trouble().is_none()
    }

    fn begin_look(&self) -> Option<Looking<'_>> {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if self.store.take_committed() {
            looked.at = Instant::now();
        }
        let pause = if self.store.trouble().is_some() { RETRY } else { QUIET };
        if looked.is_looking || looked.at.elapsed() < pause {
            return None;
        }
        looked.is_looking = true;
        drop(looked);
        Some(Looking(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_follows_from_the_database_and_the_secret() {
        let secret = |text: &str| SecretKey::new(&text.repeat(40)).unwrap();
        let id = |number: u128| DeploymentId::from_uuid(uuid::Uuid::from_u128(number));
        let settings = CacheSettings::default();
        let name = |secret: &SecretKey, id| key_space(&settings, secret, id).unwrap().name().to_owned();
        let one = name(&secret("a"), id(1));
        assert_eq!(one, name(&secret("a"), id(1)), "the same for every node");
        assert_ne!(one, name(&secret("a"), id(2)), "another database");
        assert_ne!(one, name(&secret("b"), id(1)), "a copy of the database with a secret of its own");
        let named = CacheSettings { namespace: "shop".to_owned(), ..settings };
        assert_eq!(key_space(&named, &secret("a"), id(1)).unwrap().name(), "shop");
    }
}
