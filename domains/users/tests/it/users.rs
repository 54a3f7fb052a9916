use std::time::Duration;

use serde_json::{Value, json};
use testkit::{App, Caller, TestDatabase};

use crate::setup;

const PATH: &str = "/api/v1/users";

/// Walks through the whole list by pages of `limit`.
async fn walk(admin: &Caller, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{PATH}?limit={limit}{cursor}")).await.expect(200).json();
        let part = page["items"].as_array().unwrap().clone();
        assert!(part.len() <= limit);
        items.extend(part);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
        assert!(items.len() < 1000, "the list does not end");
    }
}

async fn people(app: &App) -> (Caller, Vec<Value>) {
    let mut all = Vec::new();
    for name in ["Ada", "Bob", "Cay", "Dee"] {
        let person = app.user(name).await;
        all.push(json!({
            "id": person.id(), "email": person.email(), "role": "user", "display_name": name,
            "created_at": app.clock().now().to_string(),
        }));
        app.clock().advance(Duration::from_secs(1));
    }
    let admin = app.admin().await;
    all.push(json!({
        "id": admin.id(), "email": "admin@example.com", "role": "admin", "display_name": "Admin",
        "created_at": app.clock().now().to_string(),
    }));
    all.reverse();
    (admin, all)
}

testkit::both! {
    async fn administrators_see_everyone_newest_first(db: TestDatabase) {
        let app = setup().start(db).await;
        let (admin, all) = people(&app).await;
        for limit in [1, 2, 3, 4, 5, 100] {
            assert_eq!(walk(&admin, limit).await, all, "by {limit}");
        }
        let page = admin.get(PATH).await.expect(200).json();
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next_cursor"]), (5, &Value::Null));
    }

    async fn administrators_look_for_people(db: TestDatabase) {
        let app = setup().start(db).await;
        let (admin, all) = people(&app).await;
        // Newest first: the administrator, Dee, Cay, Bob, Ada.
        let find = async |query: &str| {
            let page = admin.get(&format!("{PATH}?{query}")).await.expect(200).json();
            (page["items"].as_array().unwrap().clone(), page["next_cursor"].clone())
        };
        for (query, expected) in [
            ("email=ada@example.com", &all[4..]),
            ("email=ADA@Example.com", &all[4..]),
            ("email=nobody@example.com", &[]),
            ("role=admin", &all[..1]),
            ("role=user", &all[1..]),
            ("role=admin&email=ada@example.com", &[]),
            ("role=user&email=ada@example.com&display_name[starts_with]=Ad", &all[4..]),
            ("role=user&display_name[starts_with]=B", &all[3..4]),
            ("display_name[starts_with]=Ca", &all[2..3]),
            ("display_name[starts_with]=ca", &[]),
            ("display_name[starts_with]=", &all[..]),
        ] {
            assert_eq!(find(query).await, (expected.to_vec(), Value::Null), "{query}");
        }
        // Page by page; a cursor is of its own list alone.
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let (part, next) = find(&format!("role=user&limit=1{cursor}")).await;
            items.extend(part);
            let Some(next) = next.as_str() else { break };
            cursor = format!("&cursor={next}");
            admin.get(&format!("{PATH}?role=admin&limit=1{cursor}")).await.expect_problem(422, "invalid_request");
        }
        assert_eq!(items, all[1..]);
        admin.get(&format!("{PATH}?role=root")).await.expect_problem(422, "invalid_request");
        admin.get(&format!("{PATH}?name=Ada")).await.expect_problem(422, "invalid_request");
    }

    async fn others_do_not(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        app.get(PATH).await.expect_problem(401, "missing_token");
        ada.get(PATH).await.expect_problem(403, "forbidden");
    }

    async fn a_list_that_changes_neither_repeats_nor_skips(db: TestDatabase) {
        let app = setup().start(db).await;
        let (admin, all) = people(&app).await;
        let first = admin.get(&format!("{PATH}?limit=2")).await.expect(200).json();
        app.user("Eve").await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = admin.get(&format!("{PATH}?limit=100&cursor={cursor}")).await.expect(200).json();
        assert_eq!(rest["items"].as_array().unwrap(), &all[2..]);
    }

    async fn an_absurd_limit_and_a_forged_cursor_are_refused(db: TestDatabase) {
        let app = setup().start(db).await;
        let (admin, _) = people(&app).await;
        for limit in ["0", "-1", "101", "1000000000000"] {
            admin.get(&format!("{PATH}?limit={limit}")).await.expect_field_errors(&[("/limit", "range")]);
        }
        for limit in ["1000000000000000000000", "x", "", "1.5", "%2B5", "+5", "%205", "05", "5.0", "1e1", "0x5", "%D9%A5"] {
            admin.get(&format!("{PATH}?limit={limit}")).await.expect_field_errors(&[("/limit", "type")]);
        }
        let cursor = admin.get(&format!("{PATH}?limit=1")).await.json()["next_cursor"].as_str().unwrap().to_owned();
        let changed = format!("{}{}", if cursor.starts_with('A') { 'B' } else { 'A' }, &cursor[1..]);
        // A genuine cursor, but of another list.
        let ada = app.user("Fay").await;
        for title in ["One", "Two"] {
            ada.post("/api/v1/posts").json(&json!({ "title": title, "body": "", "published": true })).await.expect(201);
        }
        let other = app.get("/api/v1/posts?limit=1").await.expect(200).json()["next_cursor"].as_str().unwrap().to_owned();
        for forged in ["x", "", &changed, &format!("{cursor}A"), &cursor[2..], &other] {
            admin.get(&format!("{PATH}?cursor={forged}")).await.expect_field_errors(&[("/cursor", "cursor")]);
        }
        admin.get(&format!("{PATH}?limit=1&limit=2")).await.expect_problem(400, "repeated_field");
        admin.get(&format!("{PATH}?sort=email")).await.expect_field_errors(&[("/sort", "unknown_field")]);
    }
}
