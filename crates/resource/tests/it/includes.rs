use mainstay::prelude::*;
use mainstay::resource;
use mainstay::store::{Migrations, placeholders};
use serde_json::json;
use testkit::{App, TestDatabase, both};

use crate::people::{self, admin, person, user};

#[derive(Debug)]
pub enum ShelfKind {}
impl IdKind for ShelfKind {
    const PREFIX: &'static str = "shf";
    const NAME: &'static str = "ShelfId";
}

/// A shelf; administrators put them up.
#[derive(Debug, Clone, Row, Resource)]
#[resource(plural = "shelves", read = anyone, write = admin, include(books = "books.by_shelf" by id))]
pub struct Shelf {
    /// Its id.
    pub id: Id<ShelfKind>,
    /// Its label; no two are alike.
    #[resource(write, filter)]
    #[check(length(min = 1, max = 50))]
    pub label: String,
}

#[derive(Debug)]
pub enum BookKind {}
impl IdKind for BookKind {
    const PREFIX: &'static str = "bok";
    const NAME: &'static str = "BookId";
}

/// A book on a shelf.
#[derive(Debug, Clone, Row, Resource)]
#[resource(read = anyone, write = owner, include(shelf = "shelves.by_id" by shelf_id, ghost = "ghosts.by_id" by shelf_id))]
pub struct Book {
    /// Its id.
    pub id: Id<BookKind>,
    /// Whose.
    #[resource(owner)]
    pub owner_id: UserId,
    /// Where.
    #[resource(write)]
    pub shelf_id: Option<Id<ShelfKind>>,
}

fn shelves() -> Domain {
    Domain::new("shelves")
        .migrations(Migrations {
            domain: "shelves",
            steps: &[("0001_shelves", "create table shelves (id id primary key, label text not null unique);")],
        })
        .resource(resource::of::<Shelf>())
        .loader(Loader::one("shelves.by_id", |ctx, store, ids: Vec<Id<ShelfKind>>| async move {
            let sql = format!("select {} from shelves where id in ({})", Shelf::COLUMNS, placeholders(1, ids.len()));
            let params: Vec<_> = ids.iter().map(Into::into).collect();
            let rows: Vec<Shelf> = store.read(&ctx).rows(&sql, &params).await?;
            Ok(rows.into_iter().map(|row| (row.id, resource::Resource::view(&row))).collect())
        }))
}

fn books() -> Domain {
    Domain::new("books")
        .migrations(Migrations {
            domain: "books",
            steps: &[("0001_books", "create table books (id id primary key, owner_id id not null, shelf_id id);")],
        })
        .resource(resource::of::<Book>().without(resource::Op::Delete))
        .loader(Loader::many("books.by_shelf", |ctx, store, ids: Vec<Id<ShelfKind>>| async move {
            let sql = format!(
                "select {} from books where shelf_id in ({}) order by id",
                Book::COLUMNS,
                placeholders(1, ids.len())
            );
            let params: Vec<_> = ids.iter().map(Into::into).collect();
            let rows: Vec<Book> = store.read(&ctx).rows(&sql, &params).await?;
            Ok(rows.into_iter().filter_map(|r| Some((r.shelf_id?, resource::Resource::view(&r)))).collect())
        }))
}

both! {
    async fn includes_are_named_bounded_and_described(db: TestDatabase) {
        let app = App::with(people::domain).and(shelves).and(books).start(db).await;
        let (boss, reader) = (admin(&app, 1), person(&app, 2));
        reader.post("/api/v1/shelves").json(&json!({"label": "x"})).send().await.expect_problem(403, "forbidden");
        let shelf = boss.post("/api/v1/shelves").json(&json!({"label": "x"})).send().await.expect(201).json();
        boss.post("/api/v1/shelves").json(&json!({"label": "x"})).send().await.expect_problem(409, "shelf_conflict");
        let bare = boss.post("/api/v1/shelves").json(&json!({"label": "bare"})).send().await.expect(201).json();
        for _ in 0..25 {
            app.clock().advance(std::time::Duration::from_millis(1));
            reader.post("/api/v1/books").json(&json!({"shelf_id": shelf["id"]})).send().await.expect(201);
        }
        app.clock().advance(std::time::Duration::from_millis(1));
        let loose = reader.post("/api/v1/books").json(&json!({})).send().await.expect(201).json();
        assert_eq!(loose["owner_id"], json!(user(2)));

        // Many, at most 20 for one parent; none is an empty list.
        let list = app.get("/api/v1/shelves?include=books").send().await.expect(200).json();
        let count = |id: &serde_json::Value| {
            let shelf = list["items"].as_array().unwrap().iter().find(|s| &s["id"] == id).unwrap();
            shelf["books"].as_array().unwrap().len()
        };
        assert_eq!((count(&shelf["id"]), count(&bare["id"])), (20, 0));
        // One, or null.
        let list = app.get("/api/v1/books?include=shelf&fields=id&limit=2").send().await.expect(200).json();
        assert_eq!(list["items"][0], json!({"id": loose["id"], "shelf": null}));
        assert_eq!(list["items"][1]["shelf"], shelf);
        // What is described is what is linked: the loader `ghosts.by_id` belongs to a domain that is not there.
        let refused = app.get("/api/v1/books?include=ghost").send().await.expect_problem(422, "invalid_request");
        assert!(refused.text().contains("may name shelf"), "{}", refused.text());
        let document = app.running().api.document_value();
        let part = &document["components"]["schemas"]["BookPart"]["properties"];
        assert!(part["shelf"].is_object() && part["ghost"].is_null());
        assert_eq!(document["components"]["schemas"]["ShelfPart"]["properties"]["books"]["type"], "array");
        // What was left out is not there.
        let at = format!("/api/v1/books/{}", loose["id"].as_str().unwrap());
        reader.delete(&at).send().await.expect_problem(405, "method_not_allowed");
    }
}

#[test]
fn an_include_of_a_linked_domain_must_exist() {
    let broken = || Domain::new("ghosts").migrations(Migrations { domain: "ghosts", steps: &[] });
    let refused = testkit::run(async {
        let db = TestDatabase::fresh(testkit::Backend::Sqlite).await;
        App::with(people::domain).and(shelves).and(books).and(broken).try_start(db).await.map(drop).unwrap_err()
    });
    assert!(refused.contains("names the loader `ghosts.by_id`, but `ghosts` exports none"), "{refused}");
}
