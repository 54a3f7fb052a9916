use mainstay::prelude::*;

use crate::{BookId, BookView, LendError, Library};

impl Service for Library {}

/// How a book is to be lent out.
#[input]
#[derive(Debug)]
pub(crate) struct LoanInput {
    /// For how many days.
    #[check(range(min = 1, max = 365))]
    days: u32,
}

/// Lend a book out.
///
/// Only its owner may, and only while nobody has it.
#[post("/books/{id}/lend")]
pub(crate) async fn lend_book(
    caller: Caller<User>,
    library: Library,
    Path(id): Path<BookId>,
    Valid(loan): Valid<LoanInput>,
) -> Result<Json<BookView>, LendError> {
    Ok(Json(library.lend(caller.ctx(), caller.user_id(), id, loan.days).await?))
}
