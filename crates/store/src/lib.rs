#![doc = include_str!("../README.md")]

mod alike;
mod by_id;
mod copy;
mod error;
mod fair_queue;
mod health;
mod migrate;
mod postgres;
mod reactions;
mod row;
mod schemas;
mod scope;
mod session_check;
mod settings;
mod slow;
mod sql;
mod sqlite;
mod store;
mod touch;
mod tx;
mod value;
mod witness;

/// What this crate's own texts are in other languages: a language's tag, and a TOML table of it.
pub const TEXTS: &[(&str, &str)] = &[("ko", include_str!("../texts/ko.toml"))];

pub use alike::MOST_KEYS;
pub use by_id::ById;
pub use copy::{Copied, CopyError, CopyProgress, CopyStage, copy};
pub use error::{Cause, OpenError, OpenErrorKind, StoreError, Violation, ViolationKind};
pub use migrate::{Applied, MigrateError, Migrations};
pub use reactions::Reactions;
pub use row::{Cell, Column, FromRow, Row};
pub use session_check::SessionCheck;
pub use settings::StoreSettings;
pub use store::{Dialect, Read, Reads, Store};
pub use touch::{Touched, Touching, Watch};
pub use tx::Tx;
pub use value::{Value, placeholders};
pub use witness::Witness;
