use mainstay::kernel::Json;
use mainstay::prelude::*;
use mainstay::resource;
use serde_json::json;
use testkit::{App, Subject, TestDatabase, both};

use crate::people::{self, person};
use crate::specimen::{self, Specimen, SpecimenKind, body};

both! {
    /// The same suite that the posts of `domains/posts` pass.
    async fn every_column_type_keeps_every_promise(db: TestDatabase) {
        let app = App::with(people::domain).and(specimen::domain).start(db).await;
        let (owner, other) = (person(&app, 1), person(&app, 2));
        let patch = json!({ "order": "나", "note": null, "level": 5, "data": [1, {"z": null}], "helper": null, "flag": true });
        Subject { app: &app, owner: &owner, other: &other, new: &body, patch }.check::<Specimen>().await;
    }

    /// All errors of a body at once, for every column type.
    async fn each_type_refuses_what_it_cannot_hold(db: TestDatabase) {
        let app = App::with(people::domain).and(specimen::domain).start(db).await;
        let owner = person(&app, 1);
        let response = owner.post("/api/v1/specimens").json(&json!({})).send().await.expect_problem(422, "invalid_request");
        response.expect_field_errors(&[
            ("/bytes", "required"), ("/count", "required"), ("/data", "required"), ("/due", "required"), ("/order", "required"),
            ("/person", "required"), ("/price", "required"),
        ]);
        let mut wrong = body(1);
        for (field, value) in [
            ("order", json!("x".repeat(21))), ("note", json!("a\0b")), ("count", json!(1.5)), ("level", json!(1001)),
            ("flag", json!("yes")), ("maybe", json!(0)), ("price", json!("1.234")), ("discount", json!(1)),
            ("due", json!("2026-02-30T00:00:00Z")), ("done", json!("now")), ("extra", json!({"a": "\0"})), ("bytes", json!("AB==")),
            ("thumb", json!("!")), ("person", json!("org_00000000000000000000000000")), ("helper", json!(7)),
        ] {
            wrong[field] = value;
        }
        let response = owner.post("/api/v1/specimens").json(&wrong).send().await.expect_problem(422, "invalid_request");
        let found: std::collections::BTreeSet<String> = response.errors().into_iter().map(|(pointer, _)| pointer).collect();
        let expected: std::collections::BTreeSet<String> = [
            "/bytes", "/count", "/discount", "/done", "/due", "/flag", "/helper", "/level", "/maybe", "/note", "/order",
            "/person", "/price", "/thumb",
        ].map(ToOwned::to_owned).into();
        // `extra` itself is any JSON; its NUL is found once everything else is of the right type.
        assert_eq!(found, expected);
        let mut nul = body(1);
        nul["extra"] = json!({"a": "\0"});
        let response = owner.post("/api/v1/specimens").json(&nul).send().await.expect_problem(422, "invalid_request");
        response.expect_field_errors(&[("/extra", "nul_character")]);
        // PATCH: null only where the column takes it.
        let made = owner.post("/api/v1/specimens").json(&body(1)).send().await.expect(201).json();
        let at = format!("/api/v1/specimens/{}", made["id"].as_str().unwrap());
        let response = owner.patch(&at).json(&json!({"order": null, "count": null, "note": null})).send().await;
        response.expect_problem(422, "invalid_request").expect_field_errors(&[("/count", "type"), ("/order", "type")]);
    }

    async fn a_full_page_with_nothing_after_it_is_the_last(db: TestDatabase) {
        let app = App::with(people::domain).and(specimen::domain).start(db).await;
        let owner = person(&app, 1);
        for n in 0..2 {
            owner.post("/api/v1/specimens").json(&body(n)).send().await.expect(201);
        }
        for (limit, is_last) in [(1, false), (2, true), (3, true)] {
            let page = owner.get(&format!("/api/v1/specimens?limit={limit}")).await.expect(200).json();
            assert_eq!(page["next_cursor"].is_null(), is_last, "limit {limit}");
        }
    }

    /// A parameter that an operation does not know is a mistake, and nothing is done.
    async fn what_takes_no_query_refuses_one(db: TestDatabase) {
        let app = App::with(people::domain).and(specimen::domain).start(db).await;
        let owner = person(&app, 1);
        let made = owner.post("/api/v1/specimens").json(&body(1)).send().await.expect(201).json();
        let at = format!("/api/v1/specimens/{}?dry_run=true", made["id"].as_str().unwrap());
        for response in [
            owner.post("/api/v1/specimens?dry_run=true").json(&body(2)).send().await,
            owner.patch(&at).json(&json!({"order": "b"})).send().await,
            owner.delete(&at).await,
        ] {
            response.expect_problem(422, "invalid_request").expect_field_errors(&[("/dry_run", "unknown_field")]);
        }
        let list = owner.get("/api/v1/specimens").await.expect(200).json();
        assert_eq!(list["items"], json!([made]));
    }
}

/// It is sorted by what has no order.
#[derive(Debug, Clone, Row, Resource)]
#[resource(plural = "heaps", read = owner, write = owner)]
pub struct Heap {
    /// Its id.
    pub id: Id<SpecimenKind>,
    /// Whose it is.
    #[resource(owner)]
    pub owner_id: UserId,
    /// Any JSON or nothing.
    #[resource(write, sort)]
    pub extra: Option<Json>,
}

/// It is filtered by what cannot be told apart.
#[derive(Debug, Clone, Row, Resource)]
#[resource(plural = "piles", read = owner, write = owner)]
pub struct Pile {
    /// Its id.
    pub id: Id<SpecimenKind>,
    /// Whose it is.
    #[resource(owner)]
    pub owner_id: UserId,
    /// Bytes.
    #[resource(write, filter)]
    pub bytes: Blob,
}

#[test]
fn what_has_no_order_is_not_sorted_by() {
    let (backend, loaders) = (mainstay::cache::Backend::memory(), resource::Loaders::default());
    let bus = mainstay::cache::Bus::new(&backend);
    let cache = mainstay::cache::Cache::new(&mainstay::cache::CacheSettings::default(), &backend, &bus);
    let etags = mainstay::web::ETags::new([1; 32]);
    let heaps = resource::of::<Heap>().endpoints(&loaders, &cache, etags).unwrap_err();
    assert!(heaps.contains("`extra` of Heap is `json` or `blob`"), "{heaps}");
    let piles = resource::of::<Pile>().endpoints(&loaders, &cache, etags).unwrap_err();
    assert!(piles.contains("`bytes` of Pile is `json` or `blob`"), "{piles}");
}
