//! Three nodes over one database and one Redis, asked in turn as behind a proxy, are one service.

use ::posts::Post;
use serde_json::json;
use testkit::{App, RedisServer, Subject, TestDatabase, both};

use crate::app;
use crate::posts::published;

/// The Redis is gone when the test is.
async fn three(db: TestDatabase) -> (App, RedisServer) {
    let redis = RedisServer::start().unwrap();
    let shared = app(db).await;
    let with_redis = async || shared.another_node(|setup| setup.set("cache.url", redis.url())).await.unwrap();
    let (first, others) = (with_redis().await, [with_redis().await, with_redis().await]);
    (first.among(&others), redis)
}

both! {
    async fn posts_keep_every_promise_over_three_nodes(db: TestDatabase) {
        let (app, _redis) = three(db).await;
        let (owner, other) = (app.user("Ada").await, app.user("Bob").await);
        let patch = json!({ "title": "Changed", "published": true });
        Subject { app: &app, owner: &owner, other: &other, new: &published, patch }.check::<Post>().await;
    }

    async fn sessions_go_on_and_end_on_whichever_node(db: TestDatabase) {
        let (app, _redis) = three(db).await;
        for turn in 0..4 {
            let ada = app.user(&format!("Ada {turn}")).await;
            for _ in 0..3 {
                ada.get("/api/v1/users/me").await.expect(200);
            }
            let refresh = json!({ "refresh_token": ada.refresh_token() });
            let tokens = app.post("/api/v1/auth/refresh").json(&refresh).await.expect(200).json();
            let ada = ada.with_token(tokens["access_token"].as_str().unwrap());
            for _ in 0..3 {
                ada.get("/api/v1/users/me").await.expect(200);
            }
            // Soon after, its successor is given again, on every node the same.
            for _ in 0..3 {
                let again = app.post("/api/v1/auth/refresh").json(&refresh).await.expect(200).json();
                assert_eq!(again["refresh_token"], tokens["refresh_token"]);
            }
            // Later, a spent one ends the session, wherever it was spent.
            app.clock().advance(std::time::Duration::from_secs(10));
            app.post("/api/v1/auth/refresh").json(&refresh).await.expect_problem(401, "invalid_refresh_token");
            app.clock().advance(std::time::Duration::from_secs(2));
            for _ in 0..3 {
                ada.get("/api/v1/users/me").await.expect_problem(401, "invalid_token");
            }
        }
    }
}
