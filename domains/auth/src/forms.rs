//! In which forms passwords are hashed, here and at other nodes, and were before: a wrong password takes the work of each, so
//! all nodes have to know of all.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mainstay::kernel::{Ctx, Time};
use mainstay::prelude::*;

use crate::passwords::{Hasher, form_of};
use crate::store;

/// How often it is looked whether other nodes hash in other forms.
const AGE: Duration = Duration::from_secs(10);

/// Keeps what a hasher knows of forms up with the store.
pub(crate) struct Forms {
    /// When they were last looked at, in microseconds.
    seen_at: AtomicI64,
}

impl Forms {
    /// Notes the form that this process hashes in before it does, and forgets those that no account has any more.
    pub(crate) async fn settle(ctx: &Ctx, store: &Store, hasher: &Hasher) -> Result<Self, StoreError> {
        let (reads, todays) = (store.read(ctx), hasher.todays_form());
        let mut forms = store::password_forms(&reads).await?;
        let mut gone = Vec::new();
        for form in forms.iter().filter(|form| **form != todays) {
            if !store::has_form(&reads, form).await? {
                gone.push(form.clone());
            }
        }
        // Most starts change nothing, and write nothing.
        if !gone.is_empty() || !forms.contains(&todays) {
            let change = store.tx(ctx, move |tx| {
                let (gone, todays) = (gone.clone(), todays.clone());
                async move {
                    for form in &gone {
                        store::remove_password_form(&tx, form).await?;
                    }
                    store::add_password_form(&tx, &todays).await
                }
            });
            change.await?;
            forms = store::password_forms(&reads).await?;
        }
        hasher.know_forms(forms.iter().map(String::as_str));
        Ok(Self { seen_at: AtomicI64::new(ctx.now().as_micros()) })
    }

    /// Looks now and then in which forms the other nodes hash. `found` is a stored hash whose form may be known to nobody
    /// yet, where its account came from elsewhere.
    pub(crate) async fn follow(
        &self,
        ctx: &Ctx,
        store: &Store,
        hasher: &Hasher,
        found: Option<&str>,
    ) -> Result<(), StoreError> {
        let (now, seen_at) = (ctx.now(), self.seen_at.load(Ordering::Relaxed));
        let new = found.filter(|hash| !hasher.knows_form_of(hash)).and_then(form_of);
        if new.is_none() && now < Time::from_micros(seen_at).plus(AGE) {
            return Ok(());
        }
        // One of those who sign in at this moment looks; the others go on with what is known.
        let looks = self.seen_at.compare_exchange(seen_at, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed);
        if looks.is_err() {
            return Ok(());
        }
        let mut forms = store::password_forms(&store.read(ctx)).await?;
        // Another node's start may have found nobody's hash in ours yet.
        for form in [new.map(ToOwned::to_owned), Some(hasher.todays_form())].into_iter().flatten() {
            if !forms.contains(&form) {
                let missing = form.clone();
                let add = store.tx(ctx, move |tx| {
                    let missing = missing.clone();
                    async move { store::add_password_form(&tx, &missing).await }
                });
                add.await?;
                forms.push(form);
            }
        }
        hasher.know_forms(forms.iter().map(String::as_str));
        Ok(())
    }
}
