//! Reads SQL text as far as this crate needs to.
