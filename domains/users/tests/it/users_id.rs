use serde_json::{Value, json};
use testkit::TestDatabase;

use crate::setup;

testkit::both! {
    async fn anyone_sees_what_is_public_of_a_person(db: TestDatabase) {
        let app = setup().start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let path = format!("/api/v1/users/{}", ada.id());
        let public = json!({ "id": ada.id(), "display_name": "Ada", "created_at": "2026-11-22T09:30:00Z" });
        let response = app.get(&path).await.expect(200);
        assert_eq!(response.json(), public);
        assert!(response.header("etag").is_some());
        assert_eq!(bob.get(&path).await.expect(200).json(), public);
        assert_eq!(ada.get(&path).await.expect(200).json(), public, "for the rest there is /users/me");
        app.get(&path).bearer("garbled").await.expect_problem(401, "invalid_token");
    }

    async fn who_is_not_there_is_not_found(db: TestDatabase) {
        let app = setup().start(db).await;
        app.get("/api/v1/users/usr_01h455vb4pex5vsknk084sn02q").await.expect_problem(404, "user_not_found");
        for id in ["x", "USR_01h455vb4pex5vsknk084sn02q", "ses_01h455vb4pex5vsknk084sn02q", "usr_"] {
            app.get(&format!("/api/v1/users/{id}")).await.expect_field_errors(&[("/id", "format")]);
        }
        let ada = app.user("Ada").await;
        let path = format!("/api/v1/users/{}", ada.id());
        ada.patch(&path).json(&json!({ "display_name": "X" })).await.expect_problem(405, "method_not_allowed");
        ada.delete(&path).await.expect_problem(405, "method_not_allowed");
    }

    async fn a_person_comes_with_their_posts_and_posts_with_their_author(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        for (title, published) in [("Public", true), ("Draft", false)] {
            let post = json!({ "title": title, "body": "…", "published": published });
            ada.post("/api/v1/posts").json(&post).await.expect(201);
            app.clock().advance(std::time::Duration::from_secs(1));
        }
        let path = format!("/api/v1/users/{}?include=posts", ada.id());
        let titles = |user: &Value| -> Vec<String> {
            user["posts"].as_array().unwrap().iter().map(|post| post["title"].as_str().unwrap().to_owned()).collect()
        };
        let seen = app.get(&path).await.expect(200).json();
        assert_eq!((&seen["display_name"], titles(&seen)), (&json!("Ada"), vec!["Public".to_owned()]));
        assert_eq!(titles(&ada.get(&path).await.expect(200).json()), ["Draft", "Public"]);
        let posts = app.get("/api/v1/posts?include=author").await.expect(200).json();
        let author = &posts["items"][0]["author"];
        assert_eq!(*author, json!({ "id": ada.id(), "display_name": "Ada", "created_at": "2026-11-22T09:30:00Z" }));
        app.get(&format!("/api/v1/users/{}?include=sessions", ada.id())).await.expect_field_errors(&[("/include", "not_allowed")]);
    }
}
