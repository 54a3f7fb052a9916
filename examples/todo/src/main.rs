#![doc = include_str!("../README.md")]

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use mainstay::prelude::*;
use mainstay::resource;

fn main() -> ExitCode {
    mainstay::run(app)
}

/// The product: accounts, and what their owners have to do.
fn app() -> App {
    App::new()
        .info("Todo", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
        .domain(auth::domain())
        .domain(todos())
}

fn todos() -> Domain {
    Domain::new("todos")
        .about("What people have to do, each their own.")
        .migrations(migrations!("todos", "0001_todos"))
        .resource(resource::of::<Todo>())
        .endpoint(clear_done)
}

/// Marks ids of todos.
#[derive(Debug)]
pub enum TodoKind {}

impl IdKind for TodoKind {
    const PREFIX: &'static str = "tdo";
    const NAME: &'static str = "TodoId";
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(read = owner, write = owner)]
pub struct Todo {
    /// Its id.
    #[resource(filter, sort)]
    pub id: Id<TodoKind>,
    /// Who has to do it.
    #[resource(owner)]
    pub owner_id: UserId,
    /// What, in 1–200 characters.
    #[resource(write, sort)]
    #[check(line, length(min = 1, max = 200))]
    pub title: String,
    /// Whether it is done.
    #[resource(write, default = false, filter)]
    pub done: bool,
    /// By when, if it matters.
    #[resource(write, filter, sort)]
    pub due_at: Option<Time>,
    /// When it was noted.
    #[resource(created, sort)]
    pub created_at: Time,
    /// When it was last changed.
    #[resource(updated)]
    pub updated_at: Time,
}

/// What was cleared away.
#[view]
#[derive(Debug)]
pub struct ClearedView {
    /// How many todos.
    pub cleared: u64,
}

/// Remove all of one's todos that are done.
#[post("/todos/clear-done")]
async fn clear_done(caller: Caller<User>, database: Database) -> Result<Json<ClearedView>, StoreError> {
    let owner = caller.user_id();
    let delete = move |tx: Tx| async move {
        tx.execute("delete from todos where owner_id = $1 and done = true", &params![owner]).await
    };
    Ok(Json(ClearedView { cleared: database.tx(caller.ctx(), delete).await? }))
}
