use std::borrow::Cow;
use std::fmt;

use mainstay::kernel::{AccountDirectoryError, ApiError, ErrorDoc, FieldFault, Place};
use mainstay::prelude::*;

/// A cursor that was not made here for this list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCursor([FieldFault; 1]);

impl BadCursor {
    pub(crate) fn new() -> Self {
        Self([FieldFault {
            place: Place::Query,
            pointer: "/cursor".to_owned(),
            code: "cursor",
            message: "is not a cursor of this list; begin without one".to_owned(),
        }])
    }
}

impl fmt::Display for BadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cursor was not made here for this list")
    }
}

impl std::error::Error for BadCursor {}

impl ApiError for BadCursor {
    fn code(&self) -> Code {
        Code::Invalid
    }

    fn name(&self) -> &'static str {
        "invalid_request"
    }

    fn message(&self) -> Cow<'_, str> {
        "One value is not acceptable; see `errors`.".into()
    }

    fn fields(&self) -> &[FieldFault] {
        &self.0
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        let meaning = "Some values are not acceptable; `errors` lists all of them.";
        out.push(ErrorDoc { code: Code::Invalid, name: "invalid_request", meaning });
    }
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
    Cursor(BadCursor),
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}

/// What the directory's failure means to a caller: the store's own answer where it was the store, else a fault of ours.
pub(crate) fn directory_failed(error: AccountDirectoryError) -> StoreError {
    match error.source.downcast::<StoreError>() {
        Ok(error) => *error,
        Err(other) => StoreError::internal(other),
    }
}
