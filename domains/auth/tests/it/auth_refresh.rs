use std::time::Duration;

use serde_json::{Value, json};
use testkit::{App, Reply, TestDatabase};

use crate::setup;

const PATH: &str = "/api/v1/auth/refresh";
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn refresh(app: &App, token: &str) -> Reply {
    app.post(PATH).json(&json!({ "refresh_token": token })).await
}

async fn refuse(app: &App, token: &str) -> Value {
    let reply = refresh(app, token).await.expect_problem(401, "invalid_refresh_token");
    assert!(reply.header("www-authenticate").is_some());
    let mut body = reply.json();
    body["request_id"] = Value::Null;
    body
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap()
}

testkit::both! {
    async fn a_refresh_token_is_exchanged_once(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        app.clock().advance(Duration::from_secs(60));
        let reply = refresh(&app, ada.refresh_token()).await.expect(200);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let next = reply.json();
        assert_ne!(next["refresh_token"], ada.tokens()["refresh_token"]);
        assert_ne!(next["access_token"], ada.tokens()["access_token"]);
        assert_eq!(next["expires_in"], json!(900));
        // Both access tokens are of the same session, and both good until they expire.
        for token in [ada.access_token(), text(&next, "access_token")] {
            app.get("/api/v1/who").bearer(token).await.expect(200);
        }
        let third = refresh(&app, text(&next, "refresh_token")).await.expect(200).json();
        refresh(&app, text(&third, "refresh_token")).await.expect(200);
    }

    async fn using_a_spent_token_ends_its_family(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let other = ada.sign_in().await;
        let next = refresh(&app, ada.refresh_token()).await.expect(200).json();
        app.get("/api/v1/who").bearer(text(&next, "access_token")).await.expect(200);
        refuse(&app, ada.refresh_token()).await;
        refuse(&app, text(&next, "refresh_token")).await;
        for token in [ada.access_token(), text(&next, "access_token")] {
            app.get("/api/v1/who").bearer(token).await.expect_problem(401, "invalid_token");
        }
        other.get("/api/v1/who").await.expect(200);
        refresh(&app, other.refresh_token()).await.expect(200);
    }

    async fn what_is_no_token_is_answered_like_a_spent_one(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        refresh(&app, ada.refresh_token()).await.expect(200);
        let spent = refuse(&app, ada.refresh_token()).await;
        let unknown = format!("ms_rt_{}", "A".repeat(43));
        let long = "x".repeat(1024);
        for token in ["", "ms_rt_", &unknown, ada.access_token(), "' or 1=1 --", &long] {
            assert_eq!(refuse(&app, token).await, spent);
        }
        app.post(PATH).json(&json!({})).await.expect_faults(&[("/refresh_token", "required")]);
        // Longer than any token: not worth a look.
        let body = |size: usize| json!({ "refresh_token": "x".repeat(size) });
        app.post(PATH).json(&body(1025)).await.expect_faults(&[("/refresh_token", "length")]);
        app.post(PATH).json(&body(500_000)).await.expect_problem(413, "body_too_large");
    }

    async fn of_64_uses_at_once_one_wins(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let body = json!({ "refresh_token": ada.refresh_token() });
        let calls: Vec<_> = (0..64).map(|_| tokio::spawn(app.post(PATH).json(&body).send())).collect();
        let mut won = Vec::new();
        for call in calls {
            let reply = call.await.unwrap();
            if reply.status == 200 {
                won.push(reply.json());
            } else {
                reply.expect_problem(401, "invalid_refresh_token");
            }
        }
        assert_eq!(won.len(), 1);
        // The losers used a spent token: nobody can tell who was the thief.
        refuse(&app, text(&won[0], "refresh_token")).await;
        app.get("/api/v1/who").bearer(text(&won[0], "access_token")).await.expect_problem(401, "invalid_token");
    }

    async fn of_uses_at_two_nodes_one_wins(db: TestDatabase) {
        let app = setup().start(db).await;
        let second = app.second_node().await;
        let ada = app.user("Ada").await;
        let body = json!({ "refresh_token": ada.refresh_token() });
        let call = |i: usize| if i.is_multiple_of(2) { app.post(PATH) } else { second.post(PATH) };
        let calls: Vec<_> = (0..16).map(|i| tokio::spawn(call(i).json(&body).send())).collect();
        let mut statuses = Vec::new();
        for call in calls {
            statuses.push(call.await.unwrap().status);
        }
        statuses.sort_unstable();
        let mut expected = vec![401; 16];
        expected[0] = 200;
        assert_eq!(statuses, expected);
    }

    async fn of_a_refresh_and_a_logout_the_logout_lasts(db: TestDatabase) {
        let app = setup().start(db).await;
        for i in 0..12 {
            let ada = app.user(&format!("Ada {i}")).await;
            let (refreshing, leaving) = tokio::join!(
                tokio::spawn(app.post(PATH).json(&json!({ "refresh_token": ada.refresh_token() })).send()),
                tokio::spawn(ada.post("/api/v1/auth/logout").send()),
            );
            leaving.unwrap().expect(204);
            let reply = refreshing.unwrap();
            if reply.status == 200 {
                let tokens = reply.json();
                refuse(&app, text(&tokens, "refresh_token")).await;
                app.get("/api/v1/who").bearer(text(&tokens, "access_token")).await.expect_problem(401, "invalid_token");
            } else {
                reply.expect_problem(401, "invalid_refresh_token");
            }
            ada.get("/api/v1/who").await.expect_problem(401, "invalid_token");
        }
    }

    async fn sessions_outlive_a_restart_and_spent_stays_spent(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let next = refresh(&app, ada.refresh_token()).await.expect(200).json();
        let app = app.restart().await;
        ada.on(&app).get("/api/v1/who").await.expect(200);
        let third = refresh(&app, text(&next, "refresh_token")).await.expect(200).json();
        let app = app.restart().await;
        refuse(&app, ada.refresh_token()).await;
        refuse(&app, text(&third, "refresh_token")).await;
    }

    async fn a_token_that_is_not_used_is_good_until_its_last_second(db: TestDatabase) {
        let app = setup().start(db).await;
        let phone = app.user("Ada").await;
        let laptop = phone.sign_in().await;
        app.clock().advance(DAY * 14 - Duration::from_secs(1));
        refresh(&app, phone.refresh_token()).await.expect(200);
        app.clock().advance(Duration::from_secs(1));
        refuse(&app, laptop.refresh_token()).await;
    }

    async fn a_session_in_use_is_not_tidied_away_by_the_next_sign_in(db: TestDatabase) {
        let app = setup().start(db).await;
        let phone = app.user("Ada").await;
        app.clock().advance(DAY * 13);
        let next = refresh(&app, phone.refresh_token()).await.expect(200).json();
        // Two weeks and a day after it began, but two days after it was used.
        app.clock().advance(DAY * 2);
        phone.sign_in().await;
        refresh(&app, text(&next, "refresh_token")).await.expect(200);
    }

    async fn a_session_ends_of_idleness_and_in_any_case_after_a_month(db: TestDatabase) {
        let app = setup().start(db).await;
        let idle = app.user("Idle").await;
        let mut busy = app.user("Busy").await.tokens().clone();
        app.clock().advance(DAY * 13);
        busy = refresh(&app, text(&busy, "refresh_token")).await.expect(200).json();
        app.clock().advance(DAY * 2);
        refuse(&app, idle.refresh_token()).await;
        app.clock().advance(DAY * 10);
        busy = refresh(&app, text(&busy, "refresh_token")).await.expect(200).json();
        app.clock().advance(DAY * 5 - Duration::from_secs(300));
        // Five minutes before the end no token outlives it.
        busy = refresh(&app, text(&busy, "refresh_token")).await.expect(200).json();
        assert_eq!(busy["expires_in"], json!(300));
        app.get("/api/v1/who").bearer(text(&busy, "access_token")).await.expect(200);
        app.clock().advance(Duration::from_secs(300));
        refuse(&app, text(&busy, "refresh_token")).await;
        app.get("/api/v1/who").bearer(text(&busy, "access_token")).await.expect_problem(401, "invalid_token");
    }
}
