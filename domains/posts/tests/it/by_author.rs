use serde_json::json;
use testkit::{TestDatabase, both};

use crate::app;

both! {
    /// The loader `posts.by_author`: newest first, at most 20, and only what the caller may see.
    async fn a_person_comes_with_their_newest_posts(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        for n in 0..23 {
            app.clock().advance(std::time::Duration::from_millis(1));
            let body = json!({"title": format!("{n}"), "body": "", "published": n != 22});
            ada.post("/api/v1/posts").json(&body).send().await.expect(201);
        }
        let at = format!("/api/v1/users/{}?include=posts", ada.id());
        let titles = |view: serde_json::Value| -> Vec<String> {
            view["posts"].as_array().unwrap().iter().map(|p| p["title"].as_str().unwrap().to_owned()).collect()
        };
        let newest = |from: i32| (0..20).map(|n| (from - n).to_string()).collect::<Vec<_>>();
        assert_eq!(titles(ada.get(&at).send().await.expect(200).json()), newest(22));
        for caller in [&bob, &app.anonymous()] {
            assert_eq!(titles(caller.get(&at).send().await.expect(200).json()), newest(21));
        }
        let none = app.get(&format!("/api/v1/users/{}?include=posts", bob.id())).send().await.expect(200).json();
        assert_eq!(none["posts"], json!([]));
    }

    /// With the account go its posts, in the same transaction.
    async fn posts_go_with_the_account(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        for caller in [&ada, &bob] {
            caller.post("/api/v1/posts").json(&json!({"title": "T", "body": "", "published": true})).send().await.expect(201);
        }
        ada.delete("/api/v1/users/me").send().await.expect(204);
        let list = bob.get("/api/v1/posts?total=true&include=author").send().await.expect(200).json();
        assert_eq!((list["items"][0]["author"]["display_name"].clone(), &list["total"]), (json!("Bob"), &json!(1)));
        ada.get("/api/v1/users/me").send().await.expect_problem(401, "invalid_token");
    }
}
