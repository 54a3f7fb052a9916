use mainstay::kernel::{AccountDirectoryError, FieldError, Invalid, RequestPart, text};
use mainstay::prelude::*;

/// A cursor that was not made here for this list.
pub(crate) fn bad_cursor() -> Invalid {
    Invalid::one(FieldError {
        place: RequestPart::Query,
        pointer: "/cursor".to_owned(),
        code: "cursor",
        message: text!("is not a cursor of this list; begin without one"),
    })
}

/// Why nothing is said of a person, or changed.
#[derive(Debug, ApiError)]
pub enum UsersError {
    /// There is no such person.
    #[api(NotFound, "There is no user with this id.")]
    UserNotFound,
    /// The `If-Match` header names another state than the present one.
    #[api(
        PreconditionFailed,
        "It has changed since you read it. Read it again, then repeat your change with its new ETag.",
        name = "precondition_failed"
    )]
    Stale,
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}

/// Why there is no list.
#[derive(Debug, ApiError)]
pub enum ListError {
    /// The cursor is not one of this list.
    #[api(from)]
    Cursor(Invalid),
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}

/// What the directory's failure means to a caller: the store's own answer where it was the store, else a bug in the server.
pub(crate) fn directory_failed(error: AccountDirectoryError) -> StoreError {
    match error.source.downcast::<StoreError>() {
        Ok(error) => *error,
        Err(other) => StoreError::internal(other),
    }
}
