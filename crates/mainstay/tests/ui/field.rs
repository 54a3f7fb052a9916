//~ `Opaque` cannot be a field of an input: nothing says how to check it
use mainstay::prelude::*;

pub struct Opaque;

/// An input with a field that cannot be checked.
#[input]
pub struct NewThing {
    /// What is it?
    pub what: Opaque,
}

fn main() {}
