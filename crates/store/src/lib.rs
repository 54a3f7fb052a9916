#![doc = include_str!("../README.md")]

mod by_id;
mod commit_hook;
mod copy;
mod engine_errors;
mod error;
mod event_handlers;
mod fair_queue;
mod health;
mod invalidation;
mod migrate;
mod postgres;
mod read_limits;
mod reentrancy;
mod row;
mod schemas;
mod session_check;
mod settings;
mod slow_query_log;
mod sql;
mod sqlite;
mod store;
mod tx;
mod value;

/// What this crate's own texts are in other languages: a language's tag, and a TOML table of it.
pub const TEXTS: &[(&str, &str)] = &[("ko", include_str!("../texts/ko.toml"))];

pub use by_id::ById;
pub use commit_hook::CommitHook;
pub use copy::{Copied, CopyError, CopyProgress, CopyStage, copy};
pub use error::{Cause, OpenError, OpenErrorKind, StoreError, Violation, ViolationKind};
pub use event_handlers::EventHandlers;
pub use invalidation::{CommitObserver, Invalidation, PendingInvalidation};
pub use migrate::{Applied, MigrateError, Migrations};
pub use read_limits::MOST_KEYS;
pub use row::{Cell, Column, FromRow, Row};
pub use session_check::SessionCheck;
pub use settings::StoreSettings;
pub use store::{Dialect, Read, Reads, Store};
pub use tx::Tx;
pub use value::{Value, placeholders};
