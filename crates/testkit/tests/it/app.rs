use std::time::Duration;

use serde_json::json;
use testkit::{App, Setup, TestDatabase, both};

use crate::notes::{Notes, domain};

fn setup() -> Setup {
    App::with(domain).promote(|app, ctx, email| async move {
        app.api.state().get::<Notes>().unwrap().make_admin(&ctx, email).await;
    })
}

both! {
    async fn an_answer_is_read_in_every_way(db: TestDatabase) {
        let app = setup().at("2030-01-01T00:00:00Z").start(db).await;
        app.clock().advance(Duration::from_secs(60));
        let made = app.post("/api/v1/notes").json(&json!({ "text": "milk" })).await.expect(201);
        assert_eq!(made.json()["created_at"], "2030-01-01T00:01:00Z");
        assert_eq!(
            made.snapshot(),
            "201\nlocation: /api/v1/notes/[id]\ncontent-type: application/json\n\n\
             {\n  \"created_at\": \"[time]\",\n  \"id\": \"[id]\",\n  \"text\": \"milk\"\n}"
        );
        let path = made.header("location").unwrap().to_owned();
        let read = app.get(&path).await.expect(200);
        assert_eq!(read.json(), made.json());
        app.get(&path).header("if-none-match", read.header("etag").unwrap()).await.expect(304);
        app.call(http::Method::HEAD, &path).await.expect(200);
        app.get("/api/v1/notes/note_01h455vb4pex5vsknk084sn02q").await.expect_problem(404, "note_not_found");
        app.get("/api/v1/notes/7").await.expect_field_errors(&[("/id", "format")]);
        app.get("/nowhere").await.expect_problem(404, "route_not_found");
        app.delete("/api/v1/me").await.expect_problem(405, "method_not_allowed");
        app.post("/api/v1/notes").body("application/json", "{").await.expect_problem(400, "malformed_json");
        let bad = json!({ "text": "", "colour": "red" });
        app.post("/api/v1/notes").json(&bad).await.expect_field_errors(&[("/colour", "unknown_field"), ("/text", "length")]);
    }

    async fn callers_are_who_they_say(db: TestDatabase) {
        let app = setup().start(db).await;
        app.anonymous().get("/api/v1/me").await.expect_problem(401, "missing_token");
        let ada = app.user("Ada Lovelace").await;
        assert_eq!(ada.email(), "ada-lovelace@example.com");
        assert_eq!(ada.get("/api/v1/me").await.expect(200).json(), json!({ "id": ada.id() }));
        ada.get("/api/v1/secrets").await.expect_problem(403, "forbidden");
        ada.with_token("x").get("/api/v1/me").await.expect_problem(401, "invalid_token");
        let admin = app.admin().await;
        assert_ne!(admin.id(), ada.id());
        admin.get("/api/v1/secrets").await.expect(204);
    }

    async fn what_is_saved_outlives_the_app(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let path = app.post("/api/v1/notes").json(&json!({ "text": "milk" })).await.header("location").unwrap().to_owned();
        let second = app.second_node().await;
        second.get(&path).await.expect(200);
        let again = app.restart().await;
        again.get(&path).await.expect(200);
        ada.on(&again).get("/api/v1/me").await.expect(200);
        app.get("/health/ready").await.expect_problem(503, "not_ready");
    }

    async fn a_lost_database_is_told(db: TestDatabase) {
        let app = setup().start(db).await;
        app.lose_database().await;
        app.get("/api/v1/notes/note_01h455vb4pex5vsknk084sn02q").await.expect_problem(503, "store_unavailable");
        app.get("/health/live").await.expect(200);
    }

    async fn settings_are_the_tests_own(db: TestDatabase) {
        let app = setup().file("[server]\nmax_headers = 7\nmax_body_bytes = 5").set("server.max_body_bytes", 10).start(db).await;
        assert_eq!(app.running().settings.server.max_headers, 7);
        app.post("/api/v1/notes").json(&json!({ "text": "milk" })).await.expect_problem(413, "body_too_large");
    }

    async fn what_does_not_start_says_why(db: TestDatabase) {
        let why = setup().set("server.worker", 1).try_start(db).await.unwrap_err();
        assert!(why.contains("Did you mean `server.workers`?"), "{why}");
    }

    async fn an_answer_that_breaks_the_document_fails(db: TestDatabase) {
        let app = setup().start(db).await;
        let call = app.get("/api/v1/lie");
        let failure = tokio::spawn(call.send()).await.unwrap_err().into_panic();
        let message = failure.downcast_ref::<String>().unwrap();
        assert!(message.starts_with("the body is not what the document says: /truth"), "{message}");
    }
}
