#![doc = include_str!("../README.md")]

mod answer;
mod caching;
mod cursor;
mod field;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod include;
mod list;
mod operations;
mod projection;
mod spec;
mod sql;

/// What this crate's own texts are in other languages: a language's tag, and a TOML table of it.
pub const TEXTS: &[(&str, &str)] = &[("ko", include_str!("../texts/ko.toml"))];

pub use caching::{touch, touch_all, touch_lists};
pub use cursor::Cursors;
pub use field::{FieldKind, FieldType};
pub use include::{Loaded, Loader, Loaders};
pub use operations::{Op, Operations, of};
pub use spec::{Column, Include, Read, Resource, Spec, Write};
