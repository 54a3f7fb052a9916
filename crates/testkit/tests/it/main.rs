//! The testkit, tested by using it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod notes;

mod app;
mod raw_http;
