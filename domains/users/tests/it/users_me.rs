use std::sync::Arc;
use std::time::Duration;

use mainstay::kernel::AccountDeleted;
use mainstay::prelude::*;
use serde_json::json;
use testkit::TestDatabase;

use crate::setup;

const PATH: &str = "/api/v1/users/me";

testkit::both! {
    async fn a_person_sees_themselves(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let response = ada.get(PATH).await.expect(200);
        let me = response.json();
        assert_eq!(me, json!({
            "id": ada.id(), "email": "ada@example.com", "role": "user", "display_name": "Ada",
            "created_at": "2026-11-22T09:30:00Z", "updated_at": "2026-11-22T09:30:00Z",
        }));
        let tag = response.header("etag").unwrap();
        assert_eq!(ada.get(PATH).header("if-none-match", tag).await.expect(304).text(), "");
        app.get(PATH).await.expect_problem(401, "missing_token");
    }

    async fn a_name_is_changed(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        app.clock().advance(Duration::from_secs(5));
        let response = ada.patch(PATH).json(&json!({ "display_name": "에이다" })).await.expect(200);
        let me = response.json();
        assert_eq!((&me["display_name"], &me["updated_at"]), (&json!("에이다"), &json!("2026-11-22T09:30:05Z")));
        let read = ada.get(PATH).await.expect(200);
        assert_eq!((read.json(), read.header("etag")), (me.clone(), response.header("etag")));
        app.clock().advance(Duration::from_secs(5));
        let same = ada.patch(PATH).json(&json!({})).await.expect(200);
        assert_eq!((same.json(), same.header("etag")), (me, response.header("etag")), "nothing was asked");
    }

    /// RFC 8266: what deceives is no name, and a name is kept in one form.
    async fn a_name_that_deceives_is_refused(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        for (name, code) in [
            ("\u{1b}[2JAda", "control_character"),
            ("Ada\r\nEve", "line_break"),
            ("\u{202e}adA", "direction_control"),
            ("Ad\u{200b}a", "invisible_character"),
            ("\u{3164}", "invisible_character"),
            ("A\u{e0041}", "invisible_character"),
            ("\u{f8ff}", "unassigned_character"),
            ("\u{301}\u{302}", "combining_marks"),
            ("   ", "nothing_visible"),
            ("a\0", "nul_character"),
        ] {
            ada.patch(PATH).json(&json!({ "display_name": name })).await.expect_field_errors(&[("/display_name", code)]);
        }
        assert_eq!(ada.get(PATH).await.expect(200).json()["display_name"], "Ada");
        let typed = format!(" {}\u{a0} 길동 ", "\u{1112}\u{1169}\u{11bc}");
        let changed = ada.patch(PATH).json(&json!({ "display_name": typed })).await.expect(200).json();
        assert_eq!(changed["display_name"], "홍 길동");
        assert_eq!(ada.get(PATH).await.expect(200).json(), changed);
        let emoji = "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}";
        ada.patch(PATH).json(&json!({ "display_name": emoji })).await.expect(200);
        assert_eq!(ada.get(PATH).await.expect(200).json()["display_name"], emoji);
    }

    async fn a_change_of_what_is_no_longer_so_is_refused(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let first = ada.get(PATH).await.expect(200).header("etag").unwrap().to_owned();
        app.clock().advance(Duration::from_secs(5));
        let change = |name: &str, tag: &str| ada.patch(PATH).header("if-match", tag).json(&json!({ "display_name": name }));
        let second = change("Countess", &first).await.expect(200).header("etag").unwrap().to_owned();
        assert_ne!(first, second);
        change("Lost", &first).await.expect_problem(412, "precondition_failed");
        change("Lost", "W/\"weak\"").await.expect_problem(412, "precondition_failed");
        change("Lost", &format!("W/{second}")).await.expect_problem(412, "precondition_failed");
        assert_eq!(ada.get(PATH).await.expect(200).json()["display_name"], "Countess");
        change("Any", "*").await.expect(200);
        change("Third", &format!("\"other\", {}", ada.get(PATH).await.header("etag").unwrap())).await.expect(200);
    }

    async fn an_account_that_has_changed_is_not_deleted(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let first = ada.get(PATH).await.expect(200).header("etag").unwrap().to_owned();
        app.clock().advance(Duration::from_secs(5));
        let change = ada.patch(PATH).json(&json!({ "display_name": "Countess" })).await.expect(200);
        let second = change.header("etag").unwrap().to_owned();
        for (name, value, code) in [
            ("if-match", first.as_str(), "precondition_failed"),
            ("if-match", "W/\"weak\"", "precondition_failed"),
            ("if-none-match", "*", "precondition_failed"),
            ("if-none-match", second.as_str(), "precondition_failed"),
            ("if-unmodified-since", "Sun, 22 Nov 2026 09:30:00 GMT", "precondition_not_supported"),
        ] {
            ada.delete(PATH).header(name, value).await.expect_problem(412, code);
            ada.get(PATH).await.expect(200);
        }
        // RFC 9110 section 13.2.2: where a tag is stated, the date is not looked at.
        let date = "Sun, 22 Nov 2026 09:30:00 GMT";
        ada.delete(PATH).header("if-match", &second).header("if-unmodified-since", date).await.expect(204);
        ada.get(PATH).await.expect_problem(401, "invalid_token");
    }

    async fn an_account_is_deleted_whatever_its_state(db: TestDatabase) {
        let app = setup().start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        ada.delete(PATH).header("if-match", "*").await.expect(204);
        bob.delete(PATH).header("if-none-match", "\"other\"").await.expect(204);
    }

    async fn of_many_changes_of_one_state_one_wins(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let tag = ada.get(PATH).await.expect(200).header("etag").unwrap().to_owned();
        app.clock().advance(Duration::from_secs(1));
        let calls: Vec<_> = (0..8)
            .map(|i| tokio::spawn(ada.patch(PATH).header("if-match", &tag).json(&json!({ "display_name": format!("N{i}") })).send()))
            .collect();
        let mut statuses = Vec::new();
        for call in calls {
            statuses.push(call.await.unwrap().status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    }

    async fn faults_are_told_and_nothing_else_can_be_set(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let before = ada.get(PATH).await.expect(200).json();
        ada.patch(PATH).json(&json!({ "display_name": "", "role": "admin", "email": "x@example.com", "id": "usr_x" }))
            .await.expect_field_errors(&[
                ("/display_name", "length"), ("/role", "unknown_field"), ("/email", "unknown_field"), ("/id", "unknown_field"),
            ]);
        ada.patch(PATH).json(&json!({ "display_name": null })).await.expect_field_errors(&[("/display_name", "type")]);
        ada.patch(PATH).json(&json!({ "display_name": "x".repeat(101) })).await.expect_field_errors(&[("/display_name", "length")]);
        app.patch(PATH).json(&json!({})).await.expect_problem(401, "missing_token");
        assert_eq!(ada.get(PATH).await.expect(200).json(), before);
        ada.patch(PATH).json(&json!({ "display_name": "한".repeat(100) })).await.expect(200);
    }

    async fn an_account_goes_with_all_that_is_kept_for_it(db: TestDatabase) {
        let app = setup().start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let laptop = ada.sign_in().await;
        let post = json!({ "title": "T", "body": "B", "published": true });
        let post = ada.post("/api/v1/posts").json(&post).await.expect(201).json();
        ada.delete(PATH).await.expect(204);
        for caller in [&ada, &laptop] {
            caller.get(PATH).await.expect_problem(401, "invalid_token");
            caller.delete(PATH).await.expect_problem(401, "invalid_token");
            let body = json!({ "refresh_token": caller.refresh_token() });
            app.post("/api/v1/auth/refresh").json(&body).await.expect_problem(401, "invalid_refresh_token");
        }
        app.get(&format!("/api/v1/users/{}", ada.id())).await.expect_problem(404, "user_not_found");
        app.get(&format!("/api/v1/posts/{}", post["id"].as_str().unwrap())).await.expect_problem(404, "post_not_found");
        let login = json!({ "email": ada.email(), "password": ada.password() });
        app.post("/api/v1/auth/login").json(&login).await.expect_problem(401, "invalid_credentials");
        bob.get(PATH).await.expect(200);
        // The address is free again, for another account.
        assert_ne!(app.user("Ada").await.id(), ada.id());
    }

    async fn when_one_cannot_let_go_everything_stays(db: TestDatabase) {
        let keep = |app: mainstay::App| app.on(|_, _: Arc<AccountDeleted>| async { Err(StoreError::Busy) });
        let app = setup().app(keep).start(db).await;
        let ada = app.user("Ada").await;
        ada.delete(PATH).await.expect_problem(503, "store_busy");
        ada.get(PATH).await.expect(200);
        app.get(&format!("/api/v1/users/{}", ada.id())).await.expect(200);
    }

    async fn a_database_that_is_away_is_said(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        ada.get(PATH).await.expect(200);
        app.lose_database().await;
        ada.get(PATH).await.expect_problem(503, "store_unavailable");
    }
}
