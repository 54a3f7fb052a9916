//! Who sees what, and who changes it: every rule of reading and writing × every kind of caller × every operation.

use mainstay::prelude::*;
use mainstay::resource;
use mainstay::store::Migrations;
use serde_json::{Value, json};
use testkit::{App, Caller, TestDatabase, both};

use crate::people::{self, admin, person};

#[derive(Debug)]
pub enum DiaryKind {}
impl IdKind for DiaryKind {
    const PREFIX: &'static str = "dry";
    const NAME: &'static str = "DiaryId";
}

/// A diary: its owner's alone.
#[derive(Debug, Clone, Row, Resource)]
#[resource(plural = "diaries", read = owner, write = owner)]
pub struct Diary {
    /// Its id.
    pub id: Id<DiaryKind>,
    /// Whose.
    #[resource(owner)]
    pub owner_id: UserId,
    /// What it is called.
    #[resource(write, sort)]
    pub title: String,
}

#[derive(Debug)]
pub enum NoticeKind {}
impl IdKind for NoticeKind {
    const PREFIX: &'static str = "ntc";
    const NAME: &'static str = "NoticeId";
}

/// A notice: its owner's alone until it hangs.
#[derive(Debug, Clone, Row, Resource)]
#[resource(read = owner_or(hung), write = owner)]
pub struct Notice {
    /// Its id.
    pub id: Id<NoticeKind>,
    /// Whose.
    #[resource(owner)]
    pub owner_id: UserId,
    /// What it is called.
    #[resource(write, sort)]
    pub title: String,
    /// Whether it hangs.
    #[resource(write, default = false)]
    pub hung: bool,
}

#[derive(Debug)]
pub enum FileKind {}
impl IdKind for FileKind {
    const PREFIX: &'static str = "fil";
    const NAME: &'static str = "FileId";
}

/// A file of the house: administrators read and write it.
#[derive(Debug, Clone, Row, Resource)]
#[resource(read = admin, write = admin)]
pub struct File {
    /// Its id.
    pub id: Id<FileKind>,
    /// What it is called.
    #[resource(write, sort)]
    pub title: String,
}

#[derive(Debug)]
pub enum SignKind {}
impl IdKind for SignKind {
    const PREFIX: &'static str = "sgn";
    const NAME: &'static str = "SignId";
}

/// A sign: everyone reads it, its owner changes it.
#[derive(Debug, Clone, Row, Resource)]
#[resource(read = anyone, write = owner)]
pub struct Sign {
    /// Its id.
    pub id: Id<SignKind>,
    /// Whose.
    #[resource(owner)]
    pub owner_id: UserId,
    /// What it is called.
    #[resource(write, sort)]
    pub title: String,
}

const TABLES: &str = "
create table diaries (id id primary key, owner_id id not null, title text not null);
create table notices (id id primary key, owner_id id not null, title text not null, hung bool not null);
create table files (id id primary key, title text not null);
create table signs (id id primary key, owner_id id not null, title text not null);
create index diaries_owner_id on diaries (owner_id, id desc);
create index notices_owner_id on notices (owner_id, id desc);
create index signs_owner_id on signs (owner_id, id desc);
";

fn domain() -> Domain {
    Domain::new("papers")
        .migrations(Migrations { domain: "papers", steps: &[("0001_papers", TABLES)] })
        .resource(resource::of::<Diary>())
        .resource(resource::of::<Notice>())
        .resource(resource::of::<File>())
        .resource(resource::of::<Sign>())
}

/// What one caller is answered: to a list, to a GET of the row, to a PATCH and to a DELETE of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answers {
    /// Whether the row is in the list; or the list's status.
    listed: Result<bool, u16>,
    get: u16,
    patch: u16,
    delete: u16,
}

const fn answers(listed: Result<bool, u16>, get: u16, patch: u16, delete: u16) -> Answers {
    Answers { listed, get, patch, delete }
}

async fn ask(caller: &Caller, path: &str, id: &str) -> Answers {
    let mut lists = Vec::new();
    // In the order of ids, where the rule may lead the way, and in another, where it may not.
    for query in ["", "?sort=title"] {
        let response = caller.get(&format!("{path}{query}")).await;
        let is_listed = |page: Value| page["items"].as_array().unwrap().iter().any(|item| item["id"] == id);
        lists.push(if response.status() == 200 { Ok(is_listed(response.json())) } else { Err(response.status()) });
        if response.status() == 200 {
            // The total counts what is listed, and no more.
            let total = caller.get(&format!("{path}?total=true")).await.expect(200).json();
            assert_eq!(total["total"], total["items"].as_array().unwrap().len());
        }
    }
    assert_eq!(lists[0], lists[1], "the order changes nothing");
    let at = format!("{path}/{id}");
    Answers {
        listed: lists[0],
        get: caller.get(&at).await.status(),
        patch: caller.patch(&at).json(&json!({})).await.status(),
        delete: caller.delete(&at).await.status(),
    }
}

both! {
    /// A row that may not be read is not there, whatever is asked; one that may be read and not changed is forbidden. An
    /// administrator reads, changes and removes any row by its id; what lists show them is what they show everybody.
    async fn each_rule_is_for_those_it_names(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).start(db).await;
        let (nobody, owner, other, boss) = (app.anonymous(), person(&app, 1), person(&app, 2), admin(&app, 3));
        let (unseen, own) = (answers(Ok(false), 404, 404, 404), answers(Ok(true), 200, 200, 204));
        let read_alone = answers(Ok(true), 200, 403, 403);
        let by_id = answers(Ok(false), 200, 200, 204);
        for (path, new, author, cases) in [
            (
                "/api/v1/diaries", json!({ "title": "a" }), &owner,
                [
                    (&nobody, answers(Err(401), 401, 401, 401)),
                    (&other, unseen),
                    (&boss, by_id),
                    (&owner, own),
                ],
            ),
            (
                "/api/v1/notices", json!({ "title": "a" }), &owner,
                [
                    (&nobody, answers(Ok(false), 404, 401, 401)),
                    (&other, unseen),
                    (&boss, by_id),
                    (&owner, own),
                ],
            ),
            (
                "/api/v1/notices", json!({ "title": "a", "hung": true }), &owner,
                [
                    (&nobody, answers(Ok(true), 200, 401, 401)),
                    (&other, read_alone),
                    (&boss, own),
                    (&owner, own),
                ],
            ),
            (
                "/api/v1/signs", json!({ "title": "a" }), &owner,
                [
                    (&nobody, answers(Ok(true), 200, 401, 401)),
                    (&other, read_alone),
                    (&boss, own),
                    (&owner, own),
                ],
            ),
            (
                "/api/v1/files", json!({ "title": "a" }), &boss,
                [
                    (&nobody, answers(Err(401), 401, 401, 401)),
                    (&other, answers(Err(403), 403, 403, 403)),
                    (&owner, answers(Err(403), 403, 403, 403)),
                    (&boss, answers(Ok(true), 200, 200, 204)),
                ],
            ),
        ] {
            for (caller, expected) in cases {
                let made = author.post(path).json(&new).await.expect(201).json();
                assert_eq!(ask(caller, path, made["id"].as_str().unwrap()).await, expected, "{path} {new} by {caller:?}");
            }
            let created = nobody.post(path).json(&new).await;
            assert_eq!(created.status(), 401, "{path}");
            let created = other.post(path).json(&new).await;
            assert_eq!(created.status(), if path == "/api/v1/files" { 403 } else { 201 }, "{path}");
        }
    }

    /// The document says of each operation whom it lets in, and by which names it turns others away.
    async fn each_rule_is_in_the_document(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).start(db).await;
        let document = app.get("/openapi.json").await.expect(200).json();
        let anyone = (json!([{}, { "bearer": [] }]), vec!["invalid_token"]);
        let people = (json!([{ "bearer": [] }]), vec!["missing_token", "invalid_token"]);
        let named = (json!([{ "bearer": [] }]), vec!["missing_token", "invalid_token", "forbidden"]);
        for (plural, reads) in [("diaries", &people), ("notices", &anyone), ("signs", &anyone), ("files", &named)] {
            let (all, one) = (format!("/api/v1/{plural}"), format!("/api/v1/{plural}/{{id}}"));
            for (path, method, expected) in [
                (&all, "get", reads), (&one, "get", reads), (&all, "post", &named), (&one, "patch", &named),
                (&one, "delete", &named),
            ] {
                let operation = &document["paths"][path][method];
                let told: String = ["401", "403"]
                    .iter()
                    .filter_map(|status| operation["responses"][status]["description"].as_str())
                    .collect();
                let names = ["missing_token", "invalid_token", "forbidden"];
                let names: Vec<_> = names.into_iter().filter(|name| told.contains(&format!("`{name}`"))).collect();
                assert_eq!((operation["security"].clone(), names), *expected, "{method} {path}");
            }
        }
    }

    /// An operation that a domain does not offer is not done for any caller.
    async fn an_operation_that_is_left_out_is_not_there(db: TestDatabase) {
        let some = || {
            Domain::new("papers")
                .migrations(Migrations { domain: "papers", steps: &[("0001_papers", TABLES)] })
                .resource(resource::of::<Sign>().only(&[resource::Op::List, resource::Op::Get]))
                .resource(resource::of::<Diary>().without(resource::Op::Delete))
        };
        let app = App::with(people::domain).and(some).start(db).await;
        let owner = person(&app, 1);
        owner.get("/api/v1/signs").await.expect(200);
        let nowhere: Id<SignKind> = app.ctx().new_id();
        owner.get(&format!("/api/v1/signs/{nowhere}")).await.expect(404);
        owner.post("/api/v1/signs").json(&json!({ "title": "a" })).await.expect(405);
        let made = owner.post("/api/v1/diaries").json(&json!({ "title": "a" })).await.expect(201).json();
        let at = format!("/api/v1/diaries/{}", made["id"].as_str().unwrap());
        owner.delete(&at).await.expect(405);
        owner.patch(&at).json(&json!({ "title": "b" })).await.expect(200);
        assert_eq!(owner.get(&at).await.expect(200).json()["title"], "b");
    }

    /// A new row is its maker's.
    async fn what_one_makes_is_ones_own(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).start(db).await;
        let (owner, other) = (person(&app, 1), person(&app, 2));
        let made = owner.post("/api/v1/signs").json(&json!({ "title": "a" })).await.expect(201).json();
        assert_eq!(made["owner_id"], people::user(1).to_string());
        let theirs = other.post("/api/v1/signs").json(&json!({ "title": "b" })).await.expect(201).json();
        assert_eq!(theirs["owner_id"], people::user(2).to_string());
        // Nobody makes one for somebody else.
        let forged = json!({ "title": "c", "owner_id": people::user(2) });
        owner.post("/api/v1/signs").json(&forged).await.expect_problem(422, "invalid_request");
        owner.patch(&format!("/api/v1/signs/{}", made["id"].as_str().unwrap())).json(&json!({ "owner_id": people::user(2) }))
            .await.expect_problem(422, "invalid_request").expect_field_errors(&[("/owner_id", "unknown_field")]);
    }
}
