use mainstay::kernel::AccountDeleted;
use mainstay::prelude::*;
use serde_json::{Value, json};
use testkit::{App, Subject, TestDatabase, both};

use crate::people::{self, person, user};
use crate::{Book, catalogue, domain};

fn new(n: usize) -> Value {
    json!({ "title": format!("Volume {n}"), "pages": if n.is_multiple_of(2) { json!(100 + n) } else { json!(null) } })
}

both! {
    async fn books_keep_what_every_resource_promises(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).start(db).await;
        let (owner, other) = (person(&app, 1), person(&app, 2));
        let patch = json!({ "title": "Another", "pages": 7 });
        Subject { app: &app, owner: &owner, other: &other, new: &new, patch }.check::<Book>().await;
    }

    async fn a_book_is_lent_out_once_and_by_its_owner(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).start(db).await;
        let (ada, ben) = (person(&app, 1), person(&app, 2));
        let book = ada.post("/api/v1/books").json(&new(0)).await.expect(201).json();
        let lend = format!("/api/v1/books/{}/lend", book["id"].as_str().unwrap());

        app.post(&lend).json(&json!({ "days": 3 })).await.expect_problem(401, "missing_token");
        ben.post(&lend).json(&json!({ "days": 3 })).await.expect_problem(403, "not_your_book");
        ada.post(&lend).json(&json!({ "days": 0, "to": "ben" })).await
            .expect_field_errors(&[("/days", "range"), ("/to", "unknown_field")]);

        let lent = ada.post(&lend).json(&json!({ "days": 3 })).await.expect(200).json();
        assert_eq!(lent["lent_until"], "2026-11-25T09:30:00Z");
        let again = ada.post(&lend).json(&json!({ "days": 3 }));
        let told = again.header("accept-language", "ko").await.expect_problem(409, "already_lent");
        assert_eq!(told.json()["detail"], "책이 대출 중입니다. 반납 예정: 2026-11-25T09:30:00Z.");
        app.clock().advance(std::time::Duration::from_secs(3 * 24 * 3600));
        ada.post(&lend).json(&json!({ "days": 1 })).await.expect(200);
    }

    async fn the_longest_loan_is_a_setting(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).set("library.longest_loan_days", 7).start(db).await;
        let ada = person(&app, 1);
        let book = ada.post("/api/v1/books").json(&new(0)).await.expect(201).json();
        let lend = format!("/api/v1/books/{}/lend", book["id"].as_str().unwrap());
        ada.post(&lend).json(&json!({ "days": 8 })).await.expect_problem(409, "loan_too_long");
        ada.post(&lend).json(&json!({ "days": 7 })).await.expect(200);
    }

    async fn a_book_comes_with_its_owner_and_goes_with_the_account(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).start(db).await;
        person(&app, 1).post("/api/v1/books").json(&new(0)).await.expect(201);
        person(&app, 2).post("/api/v1/books").json(&new(1)).await.expect(201);
        let list = app.get("/api/v1/books?include=owner&fields=title&sort=title").await.expect(200).json();
        assert_eq!(list["items"][0], json!({ "title": "Volume 0", "owner": { "id": user(1) } }));

        let gone = |tx: Tx| async move { tx.emit(AccountDeleted { id: user(1) }).await };
        app.store().tx::<_, StoreError, _, _>(&app.ctx(), gone).await.unwrap();
        let list = app.get("/api/v1/books?fields=title&total=true").await.expect(200).json();
        assert_eq!(list, json!({ "items": [{ "title": "Volume 1" }], "next_cursor": null, "total": 1 }));
    }

    async fn a_catalogue_is_to_look_at_only(db: TestDatabase) {
        let app = App::with(people::domain).and(catalogue).start(db).await;
        app.get("/api/v1/books").await.expect(200);
        person(&app, 1).post("/api/v1/books").json(&new(0)).await.expect_problem(405, "method_not_allowed");
    }
}

#[test]
fn a_contradiction_in_the_settings_says_its_mending() {
    let refused = testkit::run(async {
        let db = TestDatabase::fresh(testkit::Backend::Sqlite).await;
        let setup = App::with(people::domain).and(domain).set("library.longest_loan_days", 0);
        setup.try_start(db).await.map(drop).unwrap_err()
    });
    assert_eq!(refused, "[library] longest_loan_days is 0; it must be from 1 to 365");
}
