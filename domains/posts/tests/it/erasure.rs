//! An account goes with everything it wrote, however much that is.

use mainstay::kernel::{Time, UserId};
use mainstay::prelude::*;
use mainstay::store::Migrations;
use serde_json::json;
use testkit::{App, TestDatabase, both};

use crate::app;

/// How many posts the table holds of an author, shown or not.
pub(crate) async fn rows_of(app: &App, author: UserId) -> i64 {
    let sql = "SELECT count(*) FROM posts WHERE author_id = $1";
    app.store().read(&app.ctx()).row::<(i64,)>(sql, &params![author]).await.unwrap().unwrap().0
}

/// Writes posts past the API, so that there are many.
async fn write(app: &App, author: UserId, count: i64) {
    let insert = move |tx: Tx| async move {
        for n in 0..count {
            let id: Id<::posts::PostKind> = tx.ctx().new_id();
            tx.execute(
                "INSERT INTO posts (id, author_id, title, body, published, created_at, updated_at)
                 VALUES ($1, $2, $3, '', true, $4, $4)",
                &params![id, author, format!("Post {n}"), tx.ctx().now()],
            )
            .await?;
        }
        Ok::<_, StoreError>(())
    };
    app.store().tx(&app.ctx(), insert).await.unwrap();
}

both! {
    async fn many_posts_are_gone_for_everybody_at_once_and_removed_soon(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let [ada_id, bob_id]: [UserId; 2] = [ada.id().parse().unwrap(), bob.id().parse().unwrap()];
        write(&app, ada_id, 1100).await;
        write(&app, bob_id, 3).await;
        let page = app.get(&format!("/api/v1/posts?limit=1&author_id={ada_id}")).await.expect(200).json();
        let at = format!("/api/v1/posts/{}", page["items"][0]["id"].as_str().unwrap());
        ada.delete("/api/v1/users/me").await.expect(204);
        // Whatever is left of them in the table, nobody sees it.
        let list = app.get("/api/v1/posts?total=true").await.expect(200).json();
        assert_eq!(list["total"], 3);
        let by_ada = app.get(&format!("/api/v1/posts?author_id={ada_id}&total=true")).await.expect(200).json();
        assert_eq!(by_ada, json!({ "items": [], "next_cursor": null, "total": 0 }));
        app.get(&at).await.expect_problem(404, "post_not_found");
        bob.patch(&at).json(&json!({ "title": "Mine" })).await.expect_problem(404, "post_not_found");
        // Soon is now for a test.
        app.running().clean_up().await.unwrap();
        assert_eq!((rows_of(&app, ada_id).await, rows_of(&app, bob_id).await), (0, 3));
        let left = app.store().read(&app.ctx()).row::<(i64,)>("SELECT count(*) FROM owner_erasures", &[]).await;
        assert_eq!(left.unwrap(), Some((0,)), "nothing is left to be done");
    }

    /// A process that dies in the middle leaves a note, and the next one goes on.
    async fn what_a_process_left_unfinished_the_next_one_finishes(db: TestDatabase) {
        let app = app(db).await;
        let gone: UserId = app.ctx().new_id();
        write(&app, gone, 600).await;
        let note = move |tx: Tx| async move {
            let sql = "INSERT INTO owner_erasures (owner_id, requested_at) VALUES ($1, $2)";
            tx.execute(sql, &params![gone, tx.ctx().now()]).await
        };
        app.store().tx::<_, StoreError, _, _>(&app.ctx(), note).await.unwrap();
        let total = app.get("/api/v1/posts?total=true").await.expect(200).json()["total"].clone();
        assert_eq!(total, 0);
        let next = app.restart().await;
        while rows_of(&next, gone).await > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// What cannot be removed of one owner is no reason to keep what is another's.
    async fn an_owner_whose_rows_cannot_be_removed_holds_up_nobody(db: TestDatabase) {
        const TABLES: Migrations = Migrations {
            domain: "shelf",
            steps: &[("0001_shelf", "CREATE TABLE things (id id PRIMARY KEY, owner_id id NOT NULL);
                                     CREATE TABLE pins (id id PRIMARY KEY REFERENCES things (id));")],
        };
        let shelf = || Domain::new("shelf").migrations(TABLES).owned_table("things", "id", "owner_id");
        let app = App::with(auth::domain).and(users::domain).and(shelf).start(db).await;
        let [stuck, other]: [UserId; 2] = [app.ctx().new_id(), app.ctx().new_id()];
        let write = move |tx: Tx| async move {
            for (owner, since) in [(stuck, 1), (other, 2)] {
                let sql = "INSERT INTO owner_erasures (owner_id, requested_at) VALUES ($1, $2)";
                tx.execute(sql, &params![owner, Time::from_micros(since)]).await?;
                tx.execute("INSERT INTO things (id, owner_id) VALUES ($1, $1)", &params![owner]).await?;
            }
            tx.execute("INSERT INTO pins (id) VALUES ($1)", &params![stuck]).await
        };
        app.store().tx::<_, StoreError, _, _>(&app.ctx(), write).await.unwrap();
        app.running().clean_up().await.unwrap_err();
        let left = app.store().read(&app.ctx()).rows::<(UserId,)>("SELECT owner_id FROM things", &[]).await;
        assert_eq!(left.unwrap(), [(stuck,)]);
    }
}
