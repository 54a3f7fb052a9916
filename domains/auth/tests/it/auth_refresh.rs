use std::collections::HashSet;
use std::time::Duration;

use mainstay::store::Reads;
use serde_json::{Value, json};
use testkit::{App, Response, TestDatabase};

use crate::setup;

const PATH: &str = "/api/v1/auth/refresh";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// `auth.refresh_grace_s` where nothing is said.
const GRACE: Duration = Duration::from_secs(10);

async fn refresh(app: &App, token: &str) -> Response {
    app.post(PATH).json(&json!({ "refresh_token": token })).await
}

async fn refuse(app: &App, token: &str) -> Value {
    let response = refresh(app, token).await.expect_problem(401, "invalid_refresh_token");
    assert!(response.header("www-authenticate").is_some());
    let mut body = response.json();
    body["request_id"] = Value::Null;
    body
}

/// How many refresh tokens are kept, and how many of them are good for something.
async fn kept(app: &App) -> (i64, i64) {
    let ctx = app.ctx();
    let sql = "SELECT count(*), count(*) - count(spent_at) FROM refresh_tokens";
    app.store().read(&ctx).row(sql, &[]).await.unwrap().unwrap()
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap()
}

/// Uses a refresh token `uses` times at once; returns the one that every answer holds.
async fn all_the_same(apps: &[&App], uses: usize, token: &str) -> String {
    let body = json!({ "refresh_token": token });
    let calls: Vec<_> = (0..uses).map(|n| tokio::spawn(apps[n % apps.len()].post(PATH).json(&body).send())).collect();
    let (mut refresh, mut access) = (HashSet::new(), HashSet::new());
    for call in calls {
        let tokens = call.await.unwrap().expect(200).json();
        refresh.insert(text(&tokens, "refresh_token").to_owned());
        access.insert(text(&tokens, "access_token").to_owned());
    }
    assert_eq!((refresh.len(), access.len()), (1, uses));
    refresh.into_iter().next().unwrap()
}

testkit::both! {
    async fn a_refresh_token_is_exchanged_once(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        app.clock().advance(Duration::from_secs(60));
        let response = refresh(&app, ada.refresh_token()).await.expect(200);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let next = response.json();
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
        app.clock().advance(GRACE);
        refuse(&app, ada.refresh_token()).await;
        refuse(&app, text(&next, "refresh_token")).await;
        for token in [ada.access_token(), text(&next, "access_token")] {
            app.get("/api/v1/who").bearer(token).await.expect_problem(401, "invalid_token");
        }
        other.get("/api/v1/who").await.expect(200);
        refresh(&app, other.refresh_token()).await.expect(200);
    }

    async fn an_answer_that_was_lost_is_given_again(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let first = refresh(&app, ada.refresh_token()).await.expect(200).json();
        // Twice: it is not the second use that counts, but the time since the first.
        for _ in 0..2 {
            app.clock().advance(GRACE / 2 - Duration::from_millis(1));
            let again = refresh(&app, ada.refresh_token()).await.expect(200).json();
            assert_eq!(again["refresh_token"], first["refresh_token"]);
            assert_ne!(again["access_token"], first["access_token"]);
            for token in [&first, &again] {
                app.get("/api/v1/who").bearer(text(token, "access_token")).await.expect(200);
            }
        }
        assert_eq!(kept(&app).await, (2, 1));
        refresh(&app, text(&first, "refresh_token")).await.expect(200);
        // The successor was used: who still sends the first has not the last answer, and is not who went on.
        refuse(&app, ada.refresh_token()).await;
        app.get("/api/v1/who").bearer(text(&first, "access_token")).await.expect_problem(401, "invalid_token");
    }

    async fn an_answer_is_not_given_again_to_a_session_that_ended(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let next = refresh(&app, ada.refresh_token()).await.expect(200).json();
        app.post("/api/v1/auth/logout").bearer(text(&next, "access_token")).await.expect(204);
        refuse(&app, ada.refresh_token()).await;
        refuse(&app, text(&next, "refresh_token")).await;
    }

    async fn without_a_grace_a_second_use_ends_the_session_at_once(db: TestDatabase) {
        let app = setup().set("auth.refresh_grace_s", 0).start(db).await;
        let ada = app.user("Ada").await;
        let body = json!({ "refresh_token": ada.refresh_token() });
        let calls: Vec<_> = (0..16).map(|_| tokio::spawn(app.post(PATH).json(&body).send())).collect();
        let mut won = Vec::new();
        for call in calls {
            let response = call.await.unwrap();
            if response.status == 200 {
                won.push(response.json());
            } else {
                response.expect_problem(401, "invalid_refresh_token");
            }
        }
        assert_eq!(won.len(), 1);
        // The losers used a spent token: nobody can tell which caller was the thief.
        refuse(&app, text(&won[0], "refresh_token")).await;
        app.get("/api/v1/who").bearer(text(&won[0], "access_token")).await.expect_problem(401, "invalid_token");
    }

    async fn what_is_kept_of_a_session_does_not_grow_and_its_first_token_is_still_known_as_spent(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let mut tokens = ada.tokens().clone();
        for _ in 0..30 {
            tokens = refresh(&app, text(&tokens, "refresh_token")).await.expect(200).json();
            assert_eq!(kept(&app).await, (2, 1));
        }
        app.get("/api/v1/who").bearer(text(&tokens, "access_token")).await.expect(200);
        refuse(&app, ada.refresh_token()).await;
        refuse(&app, text(&tokens, "refresh_token")).await;
        app.get("/api/v1/who").bearer(text(&tokens, "access_token")).await.expect_problem(401, "invalid_token");
    }

    async fn what_is_no_token_is_answered_like_a_spent_one(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        refresh(&app, ada.refresh_token()).await.expect(200);
        app.clock().advance(GRACE);
        let spent = refuse(&app, ada.refresh_token()).await;
        let unknown = format!("ms_rt_{}", "A".repeat(86));
        let long = "x".repeat(1024);
        for token in ["", "ms_rt_", &unknown, ada.access_token(), "' or 1=1 --", &long] {
            assert_eq!(refuse(&app, token).await, spent);
        }
        app.post(PATH).json(&json!({})).await.expect_field_errors(&[("/refresh_token", "required")]);
        // Longer than any token: not worth a look.
        let body = |size: usize| json!({ "refresh_token": "x".repeat(size) });
        app.post(PATH).json(&body(1025)).await.expect_field_errors(&[("/refresh_token", "length")]);
        app.post(PATH).json(&body(500_000)).await.expect_problem(413, "body_too_large");
    }

    /// One successor for all callers: the session has one good refresh token afterwards, as before.
    async fn of_64_uses_at_once_all_get_the_same_successor(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let next = all_the_same(&[&app], 64, ada.refresh_token()).await;
        assert_eq!(kept(&app).await, (2, 1));
        let last = all_the_same(&[&app], 64, &next).await;
        assert_eq!(kept(&app).await, (2, 1));
        // The first token is spent, and its grace period ended with the race.
        refuse(&app, ada.refresh_token()).await;
        refuse(&app, &last).await;
    }

    async fn of_uses_at_two_nodes_all_get_the_same_successor(db: TestDatabase) {
        let app = setup().start(db).await;
        let second = app.second_node().await;
        let ada = app.user("Ada").await;
        let next = all_the_same(&[&app, &second], 16, ada.refresh_token()).await;
        app.clock().advance(GRACE);
        refuse(&second, ada.refresh_token()).await;
        refuse(&app, &next).await;
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
            let response = refreshing.unwrap();
            if response.status == 200 {
                let tokens = response.json();
                refuse(&app, text(&tokens, "refresh_token")).await;
                app.get("/api/v1/who").bearer(text(&tokens, "access_token")).await.expect_problem(401, "invalid_token");
            } else {
                response.expect_problem(401, "invalid_refresh_token");
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
