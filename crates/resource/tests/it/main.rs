//! Resources, on both databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod caching;
mod differential;
mod includes;
mod paging;
mod people;
mod promises;
mod specimen;
mod texts;
mod who;
