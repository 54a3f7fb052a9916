//! The testkit, tested by using it.

mod notes;

mod app;
mod wire;
