use mainstay::kernel::AccountDeleted;
use mainstay::prelude::*;
use serde_json::{Value, json};
use testkit::{App, Subject, TestDatabase, both};

use crate::{Todo, app};

async fn start(db: TestDatabase) -> App {
    App::of(app).start(db).await
}

fn new(n: usize) -> Value {
    let due = json!(format!("2026-12-{:02}T08:00:00Z", 1 + n % 28));
    json!({ "title": format!("Todo {n}"), "due_at": if n.is_multiple_of(3) { Value::Null } else { due } })
}

both! {
    async fn todos_keep_what_every_resource_promises(db: TestDatabase) {
        let app = start(db).await;
        let (owner, other) = (app.user("Ada").await, app.user("Bob").await);
        let patch = json!({ "done": true, "due_at": null });
        Subject { app: &app, owner: &owner, other: &other, new: &new, patch }.check::<Todo>().await;
    }

    async fn what_is_due_comes_in_its_order(db: TestDatabase) {
        let app = start(db).await;
        let ada = app.user("Ada").await;
        for (title, due) in [("Rent", "2026-12-01T08:00:00Z"), ("Cake", "2026-11-23T08:00:00Z")] {
            ada.post("/api/v1/todos").json(&json!({ "title": title, "due_at": due })).await.expect(201);
        }
        let open = "/api/v1/todos?done=false&sort=due_at&fields=title";
        let list = ada.get(open).await.expect(200).json();
        assert_eq!(list["items"], json!([{ "title": "Cake" }, { "title": "Rent" }]));
    }

    async fn what_is_done_is_cleared_and_only_ones_own(db: TestDatabase) {
        let app = start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        for caller in [&ada, &bob] {
            for (title, done) in [("Rent", true), ("Cake", false), ("Dishes", true)] {
                caller.post("/api/v1/todos").json(&json!({ "title": title, "done": done })).await.expect(201);
            }
        }
        app.post("/api/v1/todos/clear-done").await.expect_problem(401, "missing_token");
        let clear = || ada.post("/api/v1/todos/clear-done");
        assert_eq!(clear().await.expect(200).json(), json!({ "cleared": 2 }));
        assert_eq!(clear().await.expect(200).json(), json!({ "cleared": 0 }));
        let left = |list: Value| (list["total"].clone(), list["items"][0]["title"].clone());
        let mine = ada.get("/api/v1/todos?total=true").await.expect(200).json();
        assert_eq!(left(mine), (json!(1), json!("Cake")));
        let his = bob.get("/api/v1/todos?total=true").await.expect(200).json();
        assert_eq!(his["total"], 3);
    }

    async fn an_account_takes_its_todos_along(db: TestDatabase) {
        let app = start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let mut owner = String::new();
        for caller in [&ada, &bob] {
            let made = caller.post("/api/v1/todos").json(&new(1)).await.expect(201).json();
            owner = made["owner_id"].as_str().unwrap().to_owned();
        }
        let id: UserId = owner.parse().unwrap();
        let gone = move |tx: Tx| async move { tx.emit(AccountDeleted { id }).await };
        app.store().tx::<_, StoreError, _, _>(&app.ctx(), gone).await.unwrap();
        assert_eq!(bob.get("/api/v1/todos?total=true").await.expect(200).json()["total"], 0);
        assert_eq!(ada.get("/api/v1/todos?total=true").await.expect(200).json()["total"], 1);
    }
}
