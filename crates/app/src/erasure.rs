//! What belongs to an account goes with it. The transaction that ends the account notes its owner in `owner_erasures`: from
//! then on no resource shows a row of theirs. The rows themselves are removed right after, in batches, so that the writer is
//! never kept from others, and so that the end of an account looks at no row that others may be writing: on PostgreSQL it
//! would lose against them again and again.
//!
//! A write that was let in before the end and commits after a batch has looked is not missed: it read the session that the
//! end removed, and the batch read what it writes, which SERIALIZABLE does not let happen.

mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::{EventHandlers, Invalidation, Migrations, Store, StoreError, Tx, migrations};
use kernel::{AccountDeleted, Clock, Ctx, Random, UserId};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::Domain;

/// How many rows of one table are removed in one transaction: few enough that nobody notices the wait.
const AT_ONCE: u32 = 250;
/// How often a node looks for erasures that another one, or an earlier run, left unfinished.
const LOOK_EVERY: Duration = Duration::from_secs(120);
/// How often, and for how long, it looks after an erasure was asked for here: that transaction is yet to commit.
const LOOK_SOON: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(60);
/// The longest one batch may take.
const BATCH: Duration = Duration::from_secs(30);
/// How many owners are looked for at once.
const OWNERS: u32 = 100;

/// The platform's own part of every app: its table.
pub(crate) fn domain() -> Domain {
    const TABLES: Migrations = migrations!("erasure", "0001_owner_erasures");
    Domain::new("erasure").migrations(TABLES)
}

/// A table whose rows belong to accounts.
#[derive(Debug, Clone)]
pub(crate) struct OwnedTable {
    remove: String,
    /// What others may keep copies of: forgotten once nobody may see it, and never loaded again.
    invalidations: Vec<Invalidation>,
}

impl OwnedTable {
    /// The table, the column of its key, the column that holds the owner, and the kinds under which its rows are cached.
    pub(crate) fn new(table: &str, key: &str, owner: &str, kinds: &[&'static str]) -> Self {
        let invalidations = kinds.iter().map(|kind| Invalidation::All((*kind).into())).collect();
        Self { remove: store::removal(table, key, owner), invalidations }
    }
}

/// Removes what belonged to accounts that are gone. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Eraser(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tables: Vec<OwnedTable>,
    asked: Notify,
}

impl Eraser {
    pub(crate) fn new(tables: Vec<OwnedTable>) -> Self {
        Self(Arc::new(Inner { tables, asked: Notify::new() }))
    }

    /// Lets it act in the transaction that ends an account.
    pub(crate) fn react(&self, event_handlers: &mut EventHandlers) {
        let eraser = self.clone();
        event_handlers.on("erasure", move |tx: Tx, deleted: Arc<AccountDeleted>| {
            let eraser = eraser.clone();
            async move { eraser.begin(&tx, deleted.id).await }
        });
    }

    async fn begin(&self, tx: &Tx, owner: UserId) -> Result<(), StoreError> {
        if self.0.tables.is_empty() {
            return Ok(());
        }
        store::add_erasure(tx, owner, tx.ctx().now()).await?;
        self.0
            .tables
            .iter()
            .flat_map(|table| &table.invalidations)
            .for_each(|invalidations| tx.invalidate(invalidations.clone()));
        self.0.asked.notify_one();
        Ok(())
    }

    /// Removes some rows of each table. Whether that was all.
    async fn remove_some(&self, tx: &Tx, owner: UserId) -> Result<bool, StoreError> {
        let mut is_all = true;
        for table in &self.0.tables {
            is_all &= store::remove_rows(tx, table, owner, AT_ONCE).await? < u64::from(AT_ONCE);
        }
        Ok(is_all)
    }

    /// Removes what is left of every owner that is noted. Where it fails for one, it goes on with the others first.
    async fn finish(&self, store: &Store, clock: &Clock, random: &Random) -> Result<(), StoreError> {
        loop {
            let ctx = Ctx::system("erase_owned_rows", BATCH, clock, random);
            let owners = store::list_erasures(&store.read(&ctx), OWNERS).await?;
            if owners.is_empty() {
                return Ok(());
            }
            let mut outcome = Ok(());
            for owner in owners {
                let finished = self.finish_all(store, owner, clock, random).await;
                outcome = outcome.and(finished);
            }
            outcome?;
        }
    }

    /// One batch after another, until the owner's things are gone.
    async fn finish_all(&self, store: &Store, owner: UserId, clock: &Clock, random: &Random) -> Result<(), StoreError> {
        while !self.finish_some(store, owner, clock, random).await? {}
        Ok(())
    }

    /// One batch, and then as long a pause as it took. Whether the owner's things are all gone.
    async fn finish_some(
        &self,
        store: &Store,
        owner: UserId,
        clock: &Clock,
        random: &Random,
    ) -> Result<bool, StoreError> {
        let ctx = Ctx::system("erase_owned_rows", BATCH, clock, random);
        let (eraser, since) = (self.clone(), Instant::now());
        let is_all = store
            .tx::<_, StoreError, _, _>(&ctx, move |tx| {
                let eraser = eraser.clone();
                async move {
                    let is_all = eraser.remove_some(&tx, owner).await?;
                    if is_all {
                        store::remove_erasure(&tx, owner).await?;
                    }
                    Ok(is_all)
                }
            })
            .await?;
        tokio::time::sleep(since.elapsed()).await;
        Ok(is_all)
    }
}

/// Goes on with erasures in the background, also with those of an earlier run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Erasing {
    eraser: Eraser,
    store: Store,
    clock: Clock,
    random: Random,
    task: JoinHandle<()>,
}

impl Erasing {
    pub(crate) fn start(eraser: Eraser, store: Store, clock: Clock, random: Random) -> Self {
        let task = tokio::spawn(run(eraser.clone(), store.clone(), clock.clone(), random.clone()));
        Self { eraser, store, clock, random, task }
    }

    /// Does it now.
    pub(crate) async fn now(&self) -> Result<(), StoreError> {
        self.eraser.finish(&self.store, &self.clock, &self.random).await
    }
}

impl Drop for Erasing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(eraser: Eraser, store: Store, clock: Clock, random: Random) {
    let mut soon_until = None;
    loop {
        if let Err(error) = eraser.finish(&store, &clock, &random).await {
            tracing::warn!(target: "mainstay::erasure", %error, "what belonged to a deleted account is removed later");
        }
        let is_soon = soon_until.is_some_and(|until| Instant::now() < until);
        // Nodes that were started together look one after another.
        let wait = if is_soon { LOOK_SOON } else { LOOK_EVERY + random.part_of(LOOK_EVERY / 2) };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = eraser.0.asked.notified() => {
                soon_until = Some(Instant::now() + SOON);
                tokio::time::sleep(LOOK_SOON).await;
            }
        }
    }
}
