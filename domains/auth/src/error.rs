use std::borrow::Cow;
use std::fmt;

use mainstay::kernel::{ApiError, ErrorDoc, FieldFault, Place};
use mainstay::prelude::*;

/// Values that are readable and still not acceptable: all of them, in the form of every other invalid request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused(Vec<FieldFault>);

impl Refused {
    /// These fields of a body, each with the rule it breaks; none of them means nothing is refused.
    ///
    /// # Errors
    /// When there is one.
    pub(crate) fn unless_empty(mut faults: Vec<FieldFault>) -> Result<(), Self> {
        faults.sort();
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }
}

/// A fault of one field of a body.
pub(crate) fn fault(pointer: &str, code: &'static str, message: impl Into<String>) -> FieldFault {
    FieldFault { place: Place::Body, pointer: pointer.to_owned(), code, message: message.into() }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            let between = if i == 0 { "" } else { "; " };
            write!(f, "{between}{} {}", fault.pointer.trim_start_matches('/'), fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

impl ApiError for Refused {
    fn code(&self) -> Code {
        Code::Invalid
    }

    fn name(&self) -> &'static str {
        "invalid_request"
    }

    fn message(&self) -> Cow<'_, str> {
        match self.0.as_slice() {
            [_] => "One value is not acceptable; see `errors`.".into(),
            all => format!("{} values are not acceptable; see `errors`.", all.len()).into(),
        }
    }

    fn fields(&self) -> &[FieldFault] {
        &self.0
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        let meaning = "Some values are not acceptable; `errors` lists all of them.";
        out.push(ErrorDoc { code: Code::Invalid, name: "invalid_request", meaning });
    }
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
    Refused(Refused),
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
    /// There is no account with this address.
    #[api(NotFound, "There is no account with this e-mail address.")]
    AccountNotFound,
    /// A value is not acceptable.
    #[api(from)]
    Refused(Refused),
    /// The password could not be hashed.
    #[api(from)]
    Hash(HashError),
    /// The store failed.
    #[api(from)]
    Store(StoreError),
}
