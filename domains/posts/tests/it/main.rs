//! Posts, with real accounts, on both databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod by_author;
mod ended_sessions;
mod erasure;
mod moderation;
mod nodes;
mod posts;

use testkit::{App, TestDatabase};

/// Posts, and the accounts and profiles of those who write them.
async fn app(db: TestDatabase) -> App {
    App::with(auth::domain).and(users::domain).and(::posts::domain).start(db).await
}
