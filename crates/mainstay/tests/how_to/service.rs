use std::time::Duration;

use mainstay::prelude::*;

use crate::{BookId, BookView, LendError, LibrarySettings, store};

/// What is done with books.
#[derive(Debug, Clone)]
pub struct Library {
    store: Store,
    settings: LibrarySettings,
}

impl Library {
    /// Over this store.
    pub fn new(store: Store, settings: LibrarySettings) -> Self {
        Self { store, settings }
    }

    /// Lends a book out for some days; the book as it is then.
    pub(crate) async fn lend(&self, ctx: &Ctx, owner: UserId, id: BookId, days: u32) -> Result<BookView, LendError> {
        let most = self.settings.longest_loan_days;
        if days > most {
            return Err(LendError::LoanTooLong { most });
        }
        let now = ctx.now();
        let until = now.plus(Duration::from_secs(u64::from(days) * 24 * 3600));
        self.store
            .tx(ctx, move |tx| async move {
                let book = store::find_book(&tx, id).await?.ok_or(LendError::BookNotFound)?;
                if book.owner_id != owner {
                    return Err(LendError::NotYourBook);
                }
                if let Some(until) = book.lent_until.filter(|_| book.is_lent(now)) {
                    return Err(LendError::AlreadyLent { until });
                }
                let book = store::set_lent_until(&tx, id, until, now).await?.ok_or(LendError::BookNotFound)?;
                Ok(mainstay::resource::Resource::view(&book))
            })
            .await
    }
}
