use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{App, TestDatabase, both};

use crate::report::GOOD_FOR;
use crate::{api, app as product};

/// Every answer is held against the app's own document on the way.
async fn app(db: TestDatabase) -> App {
    App::of(product).start(db).await
}

fn note(published: bool) -> Value {
    json!({ "title": "Milk", "body": "Two litres.", "published": published })
}

fn loads(app: &App, plan: &str) -> u64 {
    let configs = app.running().cache().stats().configs;
    configs.into_iter().find(|stats| stats.name == plan).map_or(0, |stats| stats.loads)
}

both! {
    async fn it_is_well(db: TestDatabase) {
        let response = app(db).await.get("/api/health").await.expect(200);
        assert_eq!((response.text().as_str(), response.header("content-type")), ("ok", Some("text/plain; charset=utf-8")));
    }

    async fn it_computes_within_bounds(db: TestDatabase) {
        let app = app(db).await;
        for (n, fibonacci) in [(0, 0), (1, 1), (2, 1), (10, 55), (20, 6_765), (21, 10_946), (25, 75_025)] {
            let response = app.get(&format!("/api/compute?n={n}")).await.expect(200);
            assert_eq!(response.json(), json!({ "n": n, "fibonacci": fibonacci }));
        }
        for (query, rule) in [("?n=41", "range"), ("?n=-1", "range"), ("?n=ten", "type"), ("", "required")] {
            app.get(&format!("/api/compute{query}")).await.expect_field_errors(&[("/n", rule)]);
        }
    }

    async fn a_report_is_made_once_a_minute(db: TestDatabase) {
        let app = app(db).await;
        let first = app.get("/api/cache").await.expect(200).json();
        assert_eq!(first, json!({ "answer": 2_178_309, "made_at": "2026-11-22T09:30:00Z" }));
        // Up to a tenth of its time is left off, so that what began together does not end together.
        app.clock().advance(GOOD_FOR * 9 / 10 - Duration::from_secs(1));
        assert_eq!(app.get("/api/cache").await.expect(200).json(), first);
        app.clock().advance(GOOD_FOR / 10 + Duration::from_secs(1));
        let second = app.get("/api/cache").await.expect(200).json();
        assert_eq!(second["made_at"], "2026-11-22T09:31:00Z");
    }

    async fn quotes_come_from_the_database(db: TestDatabase) {
        let app = app(db).await;
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let quote = app.get("/api/db").await.expect(200).json();
            let (id, words) = (quote["id"].as_i64().unwrap(), quote["words"].as_str().unwrap());
            assert!((1..=1_000).contains(&id) && words.ends_with('.'), "{quote}");
            seen.insert(id);
        }
        assert!(seen.len() > 1, "always the same one");
        app.restart().await.get("/api/db").await.expect(200);
    }

    async fn a_note_is_read_from_the_database_once_and_its_change_is_seen_at_once(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let path = ada.post("/api/v1/notes").json(&note(true)).await.expect(201);
        let path = path.header("location").unwrap().to_owned();
        let first = bob.get(&path).await.expect(200);
        let again = bob.get(&path).await.expect(200);
        assert_eq!((first.text(), first.header("etag")), (again.text(), again.header("etag")));
        assert_eq!(loads(&app, "notes"), 1);
        ada.patch(&path).json(&json!({ "title": "Bread" })).await.expect(200);
        assert_eq!(bob.get(&path).await.expect(200).json()["title"], "Bread");
    }

    async fn notes_carry_their_authors(db: TestDatabase) {
        let app = app(db).await;
        let ada = app.user("Ada").await;
        ada.post("/api/v1/notes").json(&note(true)).await.expect(201);
        let page = app.get("/api/v1/notes?published=true&sort=-created_at&include=author").await.expect(200).json();
        assert_eq!(page["items"][0]["author"]["display_name"], "Ada");
    }

    async fn an_account_takes_its_notes_along_out_of_the_cache_too(db: TestDatabase) {
        let app = app(db).await;
        let ada = app.user("Ada").await;
        let path = ada.post("/api/v1/notes").json(&note(true)).await.expect(201);
        let path = path.header("location").unwrap().to_owned();
        app.get(&path).await.expect(200);
        ada.delete("/api/v1/users/me").await.expect(204);
        app.get(&path).await.expect_problem(404, "note_not_found");
    }

    async fn whoever_calls_is_told_whether_they_may(db: TestDatabase) {
        let quota = "user: 2/1h by user on check_caller";
        let app = App::of(product).set("limits.enabled", true).set("limits.policies", quota).start(db).await;
        let ada = app.user("Ada").await;
        app.get("/api/caller").await.expect_problem(401, "missing_token");
        for _ in 0..2 {
            assert_eq!(ada.get("/api/caller").await.expect(200).text(), "ok");
        }
        ada.get("/api/caller").await.expect_problem(429, "rate_limited");
    }

    async fn what_needs_no_database_goes_on_without(db: TestDatabase) {
        let app = app(db).await;
        app.lose_database().await;
        app.get("/api/health").await.expect(200);
        app.get("/api/compute?n=3").await.expect(200);
        assert_eq!(app.get("/api/db").await.status(), 503);
    }
}

#[test]
fn the_long_way_leads_there() {
    assert_eq!((0..8).map(api::fibonacci).collect::<Vec<_>>(), [0, 1, 1, 2, 3, 5, 8, 13]);
}
