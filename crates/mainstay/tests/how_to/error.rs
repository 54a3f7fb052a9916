use mainstay::prelude::*;

/// Why a book was not lent out.
#[derive(Debug, ApiError)]
pub enum LendError {
    /// There is no such book.
    #[api(NotFound, "There is no book with this id.")]
    BookNotFound,
    /// Somebody else's book.
    #[api(Forbidden, "Only its owner lends a book out.")]
    NotYourBook,
    /// It is not on the shelf.
    #[api(Conflict, "The book is lent out until {until}.")]
    AlreadyLent {
        /// When it comes back.
        until: Time,
    },
    /// Longer than anyone may keep a book.
    #[api(Conflict, "A book is lent out for at most {most} days here.")]
    LoanTooLong {
        /// The most days.
        most: u32,
    },
    /// The database did not do it.
    #[api(from)]
    Store(StoreError),
}
