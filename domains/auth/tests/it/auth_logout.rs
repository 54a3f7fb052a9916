use std::time::Duration;

use serde_json::json;
use testkit::{Caller, TestDatabase};

use crate::setup;

const PATH: &str = "/api/v1/auth/logout";

async fn is_out(caller: &Caller, app: &testkit::App) {
    caller.on(app).get("/api/v1/who").await.expect_problem(401, "invalid_token");
    let body = json!({ "refresh_token": caller.refresh_token() });
    app.post("/api/v1/auth/refresh").json(&body).await.expect_problem(401, "invalid_refresh_token");
}

testkit::both! {
    async fn a_session_ends_at_once_and_alone(db: TestDatabase) {
        let app = setup().start(db).await;
        let phone = app.user("Ada").await;
        let laptop = phone.sign_in().await;
        phone.get("/api/v1/who").await.expect(200);
        phone.post(PATH).await.expect(204);
        is_out(&phone, &app).await;
        laptop.get("/api/v1/who").await.expect(200);
        let response = phone.post(PATH).await.expect_problem(401, "invalid_token");
        assert!(response.header("www-authenticate").unwrap().contains("invalid_token"));
        let app = app.restart().await;
        is_out(&phone, &app).await;
    }

    async fn another_session_of_ones_own_can_go_with_it(db: TestDatabase) {
        let app = setup().start(db).await;
        let phone = app.user("Ada").await;
        let laptop = phone.sign_in().await;
        let bob = app.user("Bob").await;
        laptop.get("/api/v1/who").await.expect(200);
        bob.get("/api/v1/who").await.expect(200);
        // Somebody else's is not touched, and nothing tells that it is somebody's.
        let tablet = phone.sign_in().await;
        for token in [bob.refresh_token(), "garbled", ""] {
            let tablet = tablet.sign_in().await;
            tablet.post(PATH).json(&json!({ "refresh_token": token })).await.expect(204);
            is_out(&tablet, &app).await;
        }
        bob.get("/api/v1/who").await.expect(200);
        app.post("/api/v1/auth/refresh").json(&json!({ "refresh_token": bob.refresh_token() })).await.expect(200);
        phone.post(PATH).json(&json!({ "refresh_token": laptop.refresh_token() })).await.expect(204);
        is_out(&phone, &app).await;
        is_out(&laptop, &app).await;
        tablet.get("/api/v1/who").await.expect(200);
    }

    async fn the_body_may_be_left_out_but_not_be_wrong(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        app.post(PATH).await.expect_problem(401, "missing_token");
        ada.post(PATH).body("application/json", "{").await.expect_problem(400, "malformed_json");
        ada.post(PATH).json(&json!({ "refresh_token": 5, "all": true }))
            .await.expect_field_errors(&[("/all", "unknown_field"), ("/refresh_token", "type")]);
        ada.post(PATH).body("text/plain", "hello").await.expect_problem(415, "unsupported_media_type");
        ada.get("/api/v1/who").await.expect(200);
        ada.post(PATH).json(&json!({})).await.expect(204);
        let ada = ada.sign_in().await;
        ada.post(PATH).body("application/json", "").await.expect(204);
        is_out(&ada, &app).await;
    }

    async fn another_node_learns_of_it_within_two_seconds(db: TestDatabase) {
        let app = setup().start(db).await;
        let second = app.second_node().await;
        let ada = app.user("Ada").await;
        ada.on(&second).get("/api/v1/who").await.expect(200);
        ada.post(PATH).await.expect(204);
        app.clock().advance(Duration::from_secs(2));
        is_out(&ada, &second).await;
    }

    async fn nodes_that_share_a_redis_are_told_at_once(db: TestDatabase) {
        let mut redis = testkit::RedisServer::start().unwrap();
        let app = setup().set("cache.url", redis.url()).set("auth.session_recheck_s", 60).start(db).await;
        let second = app.second_node().await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        for caller in [&ada, &bob] {
            caller.on(&second).get("/api/v1/who").await.expect(200);
        }
        ada.post(PATH).await.expect(204);
        let hears = async {
            while ada.on(&second).get("/api/v1/who").await.status() != 401 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), hears).await.expect("it is told, the clock stands still");
        bob.on(&second).get("/api/v1/who").await.expect(200);
        // Without Redis it is as before: nothing fails, and the database is asked.
        redis.kill().unwrap();
        bob.post(PATH).await.expect(204);
        app.clock().advance(Duration::from_secs(60));
        is_out(&bob, &second).await;
    }
}
