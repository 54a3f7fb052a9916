#![doc = include_str!("../README.md")]

mod backend;
mod error;
#[cfg(feature = "redis")]
mod redis;
mod settings;

pub use backend::{Asked, Backend};
pub use error::{Away, OpenError};
pub use settings::CacheSettings;
