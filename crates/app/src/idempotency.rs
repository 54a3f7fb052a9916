//! Keeps the answers of requests with an `Idempotency-Key`, in the database, each in the transaction of its effect.

mod store;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use ::store::{CommitHook, Migrations, Store, StoreError, migrations};
use kernel::{AccountDeleted, AccountRegistered, Blob, Clock, Ctx, Json, KeyedHash, Random, Time};
use tokio::task::JoinHandle;
use web::{Fingerprint, IdempotencyStore, KeyUse, KeyedRun, StoredResponse, Storing};

use self::store::NewAnswer;
use crate::Domain;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How often answers are removed whose time is up, and how many in one transaction: few, so that nobody waits for it.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(10 * 60);
const CLEAN_UP_AT_ONCE: u32 = 500;

/// The platform's own part of every app: its tables, and that answers go with the account they were given to, or tell of.
pub(crate) fn domain() -> Domain {
    const TABLES: Migrations = migrations!("idempotency", "0001_idempotency_keys", "0002_idempotency_subjects");
    Domain::new("idempotency")
        .migrations(TABLES)
        .owned_table("idempotency_keys", "key", "account_id")
        .on::<AccountRegistered, _, _>(|tx, registered| async move {
            // The caller has no account yet: only the new account tells whose the answer is.
            let Some(run) = tx.ctx().attached::<CommitHook>().and_then(CommitHook::of::<KeyedRun>) else {
                return Ok(());
            };
            store::add_subject(&tx, registered.id, &run.key.0, tx.ctx().now().plus(KEPT)).await
        })
        .on::<AccountDeleted, _, _>(|tx, deleted| async move { store::remove_about(&tx, deleted.id).await })
}

/// See [`IdempotencyStore`].
pub(crate) struct Answers {
    store: Store,
    hash: KeyedHash,
}

impl Answers {
    pub(crate) const fn new(store: Store, hash: KeyedHash) -> Self {
        Self { store, hash }
    }
}

impl IdempotencyStore for Answers {
    fn hash(&self) -> &KeyedHash {
        &self.hash
    }

    fn find<'a>(&'a self, ctx: &'a Ctx, key: KeyUse) -> Storing<'a, Option<(Fingerprint, StoredResponse)>> {
        Box::pin(async move {
            let found = store::find_answer(&self.store.read(ctx), &key.0, ctx.now()).await?;
            Ok(found.map(read).transpose()?)
        })
    }

    fn commit_hook(&self, run: Arc<KeyedRun>) -> Arc<dyn Any + Send + Sync> {
        Arc::new(CommitHook::new(run.clone(), move |tx, value| {
            let answer = run.answer(value)?;
            let run = run.clone();
            Some(async move {
                let answer = answer.map_err(|problem| StoreError::internal(problem.name()))?;
                let now = tx.ctx().now();
                if store::add_answer(&tx, new(&run, answer, now), now).await? {
                    run.is_saved();
                    return Ok(());
                }
                // Whatever this run did goes; the other's answer is found and given.
                Err(StoreError::internal("another request with this idempotency key was answered meanwhile"))
            })
        }))
    }

    fn save<'a>(&'a self, ctx: &'a Ctx, run: &'a KeyedRun, answer: StoredResponse) -> Storing<'a, ()> {
        Box::pin(async move {
            let now = ctx.now();
            let new = new(run, answer, now);
            let save = move |tx| {
                let new = new.clone();
                async move { store::add_answer(&tx, new, now).await }
            };
            // The one that is there tells of the same request.
            self.store.tx::<_, StoreError, _, _>(ctx, save).await?;
            Ok(())
        })
    }
}

fn new(run: &KeyedRun, answer: StoredResponse, now: Time) -> NewAnswer {
    let headers = answer.headers.into_iter().map(|(name, value)| [name, value]).collect::<Vec<_>>();
    NewAnswer {
        key: run.key.0.to_vec(),
        fingerprint: run.fingerprint.0.to_vec(),
        account_id: run.user_id,
        status: i64::from(answer.status),
        headers: Json::new(serde_json::json!(headers)),
        body: answer.body.to_vec(),
        expires_at: now.plus(KEPT),
    }
}

fn read((fingerprint, status, headers, body): store::AnswerRow) -> Result<(Fingerprint, StoredResponse), StoreError> {
    let other = |what: &str| StoreError::internal(format!("a row of idempotency_keys has a {what} of another form"));
    let Blob(fingerprint) = fingerprint;
    let fingerprint = Fingerprint(fingerprint.try_into().map_err(|_| other("fingerprint"))?);
    let headers = serde_json::from_value(headers.into_inner()).map_err(|_| other("header"))?;
    let status = u16::try_from(status).map_err(|_| other("status"))?;
    Ok((fingerprint, StoredResponse { status, headers, body: body.0.into() }))
}

/// Removes answers whose time is up, now and then, until it is dropped.
#[derive(Debug)]
pub(crate) struct Cleanup {
    sweeper: Sweeper,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Sweeper {
    store: Store,
    clock: Clock,
    random: Random,
}

impl Cleanup {
    pub(crate) fn start(store: Store, clock: Clock, random: Random) -> Self {
        let sweeper = Sweeper { store, clock, random };
        let task = tokio::spawn(sweeper.clone().sweep_now_and_then());
        Self { sweeper, task }
    }

    /// Does it now.
    pub(crate) async fn now(&self) -> Result<(), StoreError> {
        self.sweeper.sweep().await
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sweeper {
    async fn sweep_now_and_then(self) {
        loop {
            // Nodes that were started together do it one after another.
            tokio::time::sleep(CLEAN_UP_EVERY + self.random.part_of(CLEAN_UP_EVERY / 2)).await;
            if let Err(error) = self.sweep().await {
                tracing::debug!(target: "mainstay::idempotency", %error, "old answers could not be removed");
            }
        }
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        loop {
            let ctx = Ctx::system("remove_old_answers", Duration::from_secs(10), &self.clock, &self.random);
            let now = ctx.now();
            let remove = move |tx| async move { store::remove_expired(&tx, now, CLEAN_UP_AT_ONCE).await };
            if self.store.tx::<_, StoreError, _, _>(&ctx, remove).await? < u64::from(CLEAN_UP_AT_ONCE) {
                return Ok(());
            }
        }
    }
}
