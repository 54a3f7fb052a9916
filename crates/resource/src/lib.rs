#![doc = include_str!("../README.md")]

mod include;

pub use include::{Loaded, Loader, Loaders};
mod cursor;
mod operations;
pub use cursor::Cursors;
pub use operations::{Operations, Resource};
