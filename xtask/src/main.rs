//! The project's own commands: test, check, gen, soak.

fn main() {}
