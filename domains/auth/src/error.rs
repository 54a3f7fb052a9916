use mainstay::kernel::{FieldError, Invalid, RequestPart, Text};
use mainstay::prelude::*;

/// An error in one field of a body.
pub(crate) fn fault(pointer: &str, code: &'static str, message: Text) -> FieldError {
    FieldError { place: RequestPart::Body, pointer: pointer.to_owned(), code, message }
}

/// Why a password was not hashed.
#[derive(Debug, ApiError)]
pub enum HashError {
    /// Too many people are signing in or registering at this moment.
    #[api(Unavailable, "Too many people are signing in right now. Try again in a moment.")]
    Busy,
    /// The hashing failed.
    #[api(from)]
    Failed(StoreError),
}

/// Why nobody was registered.
#[derive(Debug, ApiError)]
pub enum RegisterError {
    /// Registration is closed here.
    #[api(Forbidden, "Registration is closed. Ask an administrator for an account.")]
    RegistrationClosed,
    /// There is an account with this address.
    #[api(Conflict, "There is an account with this e-mail address. Sign in instead.")]
    EmailTaken,
    /// A value is not acceptable.
    #[api(from)]
    Invalid(Invalid),
    /// The password could not be hashed.
    #[api(from)]
    Hash(HashError),
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}

/// Why nobody was signed in.
#[derive(Debug, ApiError)]
pub enum LoginError {
    /// The address or the password is wrong; which one is not said.
    #[api(Unauthenticated, "The e-mail address or the password is wrong.")]
    InvalidCredentials,
    /// There were too many attempts.
    #[api(from)]
    Limited(Limited),
    /// The password could not be checked.
    #[api(from)]
    Hash(HashError),
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}

/// Why no new tokens were given.
#[derive(Debug, ApiError)]
pub enum RefreshError {
    /// The refresh token is unknown, spent, expired or revoked; which one is not said.
    #[api(Unauthenticated, "The refresh token is not valid. Sign in again.")]
    InvalidRefreshToken,
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}

/// Why no administrator was made.
#[derive(Debug, ApiError)]
pub enum AdminError {
    /// Somebody registered this address: its owner, or anyone.
    #[api(
        Conflict,
        "This address is registered, perhaps by a stranger. `--promote` gives its account the role and your password."
    )]
    AlreadyRegistered,
    /// There is no account with this address.
    #[api(NotFound, "There is no account with this e-mail address.")]
    AccountNotFound,
    /// A value is not acceptable.
    #[api(from)]
    Invalid(Invalid),
    /// The password could not be hashed.
    #[api(from)]
    Hash(HashError),
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}
