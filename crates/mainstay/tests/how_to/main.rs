//! The domain that the pages under `docs/how-to` build, compiled and run. Every block of Rust and SQL in those pages, and
//! in the README, is a piece of a file of this repository: the test `pages` looks each up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod caching;
mod error;
mod integration_tests;
mod limiting;
mod model;
mod pages;
mod people;
mod service;
mod settings;
mod store;

use mainstay::prelude::*;
use mainstay::resource::{self, Op};

pub use error::LendError;
pub use model::{Book, BookId, BookKind, BookPart, BookPatch, BookView, NewBook};
pub use service::Library;
pub use settings::LibrarySettings;

/// The domain: add it to an app.
pub fn domain() -> Domain {
    Domain::new("library")
        .about("Books that people own, and lend to each other.")
        .migrations(migrations!("library", "0001_books"))
        .settings::<LibrarySettings>()
        .texts("ko", include_str!("../texts/ko.toml"))
        .resource(resource::of::<Book>())
        .endpoint(api::lend_book)
        .loader(Loader::many("library.by_owner", |ctx, database, owners| async move {
            let books = store::newest_by_owner(&database.read(&ctx), &owners).await?;
            Ok(books.into_iter().map(|book| (book.owner_id, resource::Resource::view(&book))).collect())
        }))
        .provide(|boot: Boot| async move {
            let settings = boot.settings::<LibrarySettings>("library")?;
            boot.put(Library::new(boot.store().clone(), settings));
            Ok(())
        })
}

/// The same books, to look at only.
pub fn catalogue() -> Domain {
    Domain::new("library")
        .migrations(migrations!("library", "0001_books"))
        .resource(resource::of::<Book>().only(&[Op::List, Op::Get]))
}
