#![doc = include_str!("../README.md")]

mod body;
mod bytes;
mod cursor;
mod filter;
mod run;
mod token;

// The resource with a column of every type, and the callers that its own tests use.
#[path = "../../resource/tests/it/people.rs"]
#[expect(dead_code, reason = "the fuzzers have no administrators")]
mod people;
#[path = "../../resource/tests/it/specimen.rs"]
mod specimen;

pub use body::body;
pub use cursor::cursor;
pub use filter::filter;
pub use token::token;
