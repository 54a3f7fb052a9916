#![doc = include_str!("../README.md")]

use std::process::ExitCode;

use mainstay::App;

#[global_allocator]
static ALLOCATOR: mainstay::Allocator = mainstay::Allocator;

fn main() -> ExitCode {
    mainstay::run(app)
}

/// What this program is made of. A domain that uses another's services comes after it.
fn app() -> App {
    App::new()
        .info("Mainstay", env!("CARGO_PKG_VERSION"), "Accounts, profiles and posts: what the `mainstay` binary serves.")
        .domain(auth::domain())
        .domain(users::domain())
        .domain(posts::domain())
}
