//! Every operation × every kind of caller, taken from the document, so that a new one cannot be forgotten.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{App, Caller, TestDatabase, both};

async fn app(db: TestDatabase) -> App {
    App::with(auth::domain)
        .and(users::domain)
        .and(posts::domain)
        .promote(|running, ctx, email| async move {
            let accounts: auth::Accounts = running.api.state().get::<auth::Accounts>().unwrap().clone();
            let secret = mainstay::kernel::Secret::new(testkit::PASSWORD.to_owned());
            accounts.promote(&ctx, &email, &secret).await.unwrap();
        })
        .start(db)
        .await
}

/// Every operation: method, path, whether the document asks for a token, and whether it answers 403 to some.
fn operations(document: &Value) -> Vec<(String, String, bool, bool)> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let is_secured = operation["security"] == json!([{ "bearer": [] }]);
            let forbids = !operation["responses"]["403"].is_null();
            found.push((method.to_uppercase(), path.clone(), is_secured, forbids));
        }
    }
    found
}

async fn call(caller: &Caller, method: &str, path: &str) -> testkit::Response {
    let call = caller.call(method.parse().unwrap(), path);
    match method {
        "POST" | "PATCH" => call.json(&json!({})).send().await,
        _ => call.send().await,
    }
}

both! {
    /// Whatever the document secures answers 401 without a token, and with a token that is none.
    async fn what_is_secured_asks_for_a_token(db: TestDatabase) {
        let app = app(db).await;
        let document = app.running().api.document_value();
        let stranger = app.anonymous();
        let liar = app.anonymous().with_token("eyJhbGciOiJub25lIn0.e30.");
        let mut open = BTreeSet::new();
        for (method, path, is_secured, _) in operations(&document) {
            let path = path.replace("{id}", "pst_01h455vb4pex5vsknk084sn02q");
            let response = call(&stranger, &method, &path).await;
            if is_secured {
                let response = response.expect_problem(401, "missing_token");
                assert!(response.header("www-authenticate").is_some());
                call(&liar, &method, &path).await.expect_problem(401, "invalid_token");
            } else {
                assert!(response.status() < 500 && response.status() != 403, "{method} {path}");
                open.insert(format!("{method} {path}"));
            }
        }
        // What anyone may call. This list only shrinks; what is added here is open to the world.
        let expected = [
            "GET /.well-known/jwks.json", "GET /api/v1/posts", "GET /api/v1/posts/pst_01h455vb4pex5vsknk084sn02q",
            "GET /api/v1/users/pst_01h455vb4pex5vsknk084sn02q", "GET /health/live", "GET /health/ready", "GET /openapi.json",
            "POST /api/v1/auth/login", "POST /api/v1/auth/refresh", "POST /api/v1/auth/register",
        ];
        assert_eq!(open, expected.map(ToOwned::to_owned).into());
    }

    /// A body that anyone may send is a short one: strangers cannot fill the memory that large bodies share.
    async fn what_strangers_may_send_is_short(db: TestDatabase) {
        let app = app(db).await;
        let document = app.running().api.document_value();
        let mut count = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if operation["requestBody"].is_null() || operation["security"] == json!([{ "bearer": [] }]) {
                    continue;
                }
                let call = app.call(method.to_uppercase().parse().unwrap(), path);
                let longer = vec![b' '; 16 * 1024 + 1];
                call.body("application/json", longer).await.expect_problem(413, "body_too_large");
                count += 1;
            }
        }
        assert!(count >= 3, "registering, signing in, refreshing: {count}");
    }

    /// Administrators' operations answer 403 to other people, before anything else is looked at.
    async fn what_is_for_administrators_is_for_them_alone(db: TestDatabase) {
        let app = app(db).await;
        let (ada, boss) = (app.user("Ada").await, app.admin().await);
        ada.get("/api/v1/users").send().await.expect_problem(403, "forbidden");
        ada.get("/api/v1/users?limit=0").send().await.expect_problem(403, "forbidden");
        let people = boss.get("/api/v1/users").send().await.expect(200).json();
        assert_eq!(people["items"].as_array().unwrap().len(), 2);
        assert!(people["items"].as_array().unwrap().iter().any(|p| p["email"] == ada.email()));
    }

    /// Every path with an id × what is another's, what never was, and what is no id at all: nothing tells them apart but
    /// what the caller may read.
    async fn what_is_anothers_is_not_there(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let draft = json!({ "title": "Draft", "body": "" });
        let draft = ada.post("/api/v1/posts").json(&draft).send().await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let document = app.running().api.document_value();
        let mut covered = 0;
        for (method, path, _, _) in operations(&document).into_iter().filter(|o| o.1.contains("{id}")) {
            let (own, never) = match path.as_str() {
                "/api/v1/posts/{id}" => (draft.clone(), "pst_01h455vb4pex5vsknk084sn02q"),
                // Everyone's public view is there for everyone.
                "/api/v1/users/{id}" => (String::new(), "usr_01h455vb4pex5vsknk084sn02q"),
                other => panic!("a new path with an id: say here whose it is: {other}"),
            };
            let absent = call(&bob, &method, &path.replace("{id}", never)).await;
            assert_eq!(absent.status(), 404, "{method} {path}");
            if !own.is_empty() {
                let anothers = call(&bob, &method, &path.replace("{id}", &own)).await;
                assert_eq!((anothers.status(), anothers.code()), (absent.status(), absent.code()), "{method} {path}");
            }
            for garbled in ["x", "org_01h455vb4pex5vsknk084sn02q", "%00", "..%2f..%2fetc"] {
                let response = call(&bob, &method, &path.replace("{id}", garbled)).await;
                assert!([404, 422].contains(&response.status()), "{method} {path} with {garbled}: {}", response.status());
            }
            covered += 1;
        }
        assert!(covered >= 4);
        ada.get(&format!("/api/v1/posts/{draft}")).send().await.expect(200);
    }
}
