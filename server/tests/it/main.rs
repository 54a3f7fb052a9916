//! The real binary, as its operator meets it: started in a folder of its own, spoken to over its socket, ended by signals.

#![expect(clippy::unwrap_used, reason = "clippy knows only functions marked `#[test]` as tests")]

mod process;

mod admin;
mod broken_database;
mod completions;
mod describe;
mod descriptors;
mod doctor;
mod examples;
mod first_run;
mod help;
mod matrix;
mod metrics;
mod moving;
mod schemas;
mod secrets;
mod settings;
mod stopping;
mod surroundings;
