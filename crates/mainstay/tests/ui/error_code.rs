//~ say what the caller sees
use mainstay::prelude::*;

/// A failure that does not say what the caller sees.
#[derive(Debug, ApiError)]
pub enum ThingError {
    Silent,
}

fn main() {}
