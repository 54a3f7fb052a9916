use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use testkit::{App, TestDatabase, both};

use crate::report::GOOD_FOR;
use crate::{api, domain};

/// Every answer is held against the app's own document on the way.
async fn app(db: TestDatabase) -> App {
    App::with(domain).start(db).await
}

both! {
    async fn it_is_well(db: TestDatabase) {
        let reply = app(db).await.get("/api/health").await.expect(200);
        assert_eq!((reply.text().as_str(), reply.header("content-type")), ("ok", Some("text/plain; charset=utf-8")));
    }

    async fn it_computes_within_bounds(db: TestDatabase) {
        let app = app(db).await;
        for (n, fibonacci) in [(0, 0), (1, 1), (2, 1), (10, 55), (20, 6_765), (21, 10_946), (25, 75_025)] {
            let reply = app.get(&format!("/api/compute?n={n}")).await.expect(200);
            assert_eq!(reply.json(), json!({ "n": n, "fibonacci": fibonacci }));
        }
        for (query, rule) in [("?n=41", "range"), ("?n=-1", "range"), ("?n=ten", "type"), ("", "required")] {
            app.get(&format!("/api/compute{query}")).await.expect_faults(&[("/n", rule)]);
        }
    }

    async fn a_report_is_made_once_a_minute(db: TestDatabase) {
        let app = app(db).await;
        let first = app.get("/api/cache").await.expect(200).json();
        assert_eq!(first, json!({ "answer": 2_178_309, "made_at": "2026-11-22T09:30:00Z" }));
        app.clock().advance(GOOD_FOR - Duration::from_secs(1));
        assert_eq!(app.get("/api/cache").await.expect(200).json(), first);
        app.clock().advance(Duration::from_secs(1));
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
