//! What an administrator may do with other people's posts.

use mainstay::kernel::Secret;
use serde_json::json;
use testkit::{App, TestDatabase, both};

both! {
    async fn an_administrator_hides_and_removes_anybodys_post(db: TestDatabase) {
        let app = App::with(auth::domain).and(users::domain).and(::posts::domain)
            .promote(|running, ctx, email| async move {
                let accounts = running.api.state().get::<auth::Accounts>().unwrap().clone();
                accounts.promote(&ctx, &email, &Secret::new(testkit::PASSWORD.to_owned())).await.unwrap();
            })
            .start(db).await;
        let (ada, bob, boss) = (app.user("Ada").await, app.user("Bob").await, app.admin().await);
        let made = ada.post("/api/v1/posts").json(&json!({ "title": "Spam", "body": "", "published": true })).await;
        let at = format!("/api/v1/posts/{}", made.expect(201).json()["id"].as_str().unwrap());
        bob.patch(&at).json(&json!({ "published": false })).await.expect_problem(403, "forbidden");
        boss.patch(&at).json(&json!({ "published": false })).await.expect(200);
        bob.get(&at).await.expect_problem(404, "post_not_found");
        ada.get(&at).await.expect(200);
        // It is still within reach, and still its author's.
        let seen = boss.get(&at).await.expect(200).json();
        assert_eq!(seen["author_id"], ada.id());
        let list = boss.get("/api/v1/posts?total=true").await.expect(200).json();
        assert_eq!(list["total"], 0, "lists are those of everybody");
        bob.delete(&at).await.expect_problem(404, "post_not_found");
        boss.delete(&at).await.expect(204);
        ada.get(&at).await.expect_problem(404, "post_not_found");
    }
}
