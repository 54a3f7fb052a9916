#![doc = include_str!("../README.md")]

mod accounts;
mod blob;
mod clock;
mod code;
mod ctx;
mod decimal;
mod error;
mod id;
mod identity;
mod json;
mod keyed_hash;
mod limit;
mod random;
mod secret;
mod text;
mod text_profile;
pub mod thread;

/// What this crate's own texts are in other languages: a language's tag, and a TOML table of it.
pub const TEXTS: &[(&str, &str)] = &[("ko", include_str!("../texts/ko.toml"))];

pub use accounts::{Account, AccountDirectory, AccountDirectoryError, AccountFilter, DirectoryFuture};
pub use blob::Blob;
pub use clock::{Clock, Time, TimeError};
pub use code::Code;
pub use ctx::{Ctx, DeadlinePassed, network_of};
pub use decimal::{Decimal, DecimalError};
pub use error::{ApiError, ErrorDoc, FieldError, Invalid, RequestPart, ValidationErrors};
pub use id::{Id, IdError, IdKind, IdOf};
pub use identity::{
    AccountDeleted, AccountId, AccountKind, AccountRegistered, Identity, OrgId, OrgKind, Role, SessionId, SessionKind,
    UserId,
};
pub use json::{Json, JsonError, ParsedJson, parse_json};
pub use keyed_hash::KeyedHash;
pub use limit::{Bucket, BucketState, Charge, Giving, Limit, MOST_CHARGES, Rate, RateError, Taken, Taking};
pub use random::Random;
pub use secret::{Secret, SecretKey};
pub use text::{Argument, Catalogue, CatalogueError, Text};
pub use text_profile::{TextFault, TextProfile, nfc};
