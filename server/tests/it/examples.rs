//! The examples in the document are what a newcomer sends first, from `/docs`, without a change.

use serde_json::{Value, json};
use testkit::{App, Caller, TestDatabase, both};

use crate::describe::asked;

fn example<'a>(document: &'a Value, method: &str, path: &str) -> &'a Value {
    &document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"]
}

async fn send(caller: &Caller, document: &Value, path: &str, status: u16) -> Value {
    let response = caller.post(path).json(example(document, "post", path)).send().await;
    assert_eq!(response.status(), status, "{path}");
    response.json()
}

both! {
    /// Register, sign in, write a post, with the examples as they stand.
    async fn the_examples_tell_a_story(db: TestDatabase) {
        let app = App::with(auth::domain).and(users::domain).and(posts::domain).start(db).await;
        let document = app.running().api.document_value();
        let stranger = app.anonymous();
        send(&stranger, &document, "/api/v1/auth/register", 201).await;
        let tokens = send(&stranger, &document, "/api/v1/auth/login", 200).await;
        let ada = app.anonymous().with_token(tokens["access_token"].as_str().unwrap());
        let post = send(&ada, &document, "/api/v1/posts", 201).await;
        assert_eq!((&post["title"], &post["published"]), (&json!("Hello"), &json!(true)));
    }
}

#[test]
fn every_example_is_valid() {
    let document: Value = serde_json::from_str(&asked(&["openapi"])).unwrap();
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"];
            if body.is_null() {
                continue;
            }
            let mut schema = body["schema"].clone();
            schema["components"] = document["components"].clone();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            let errors: Vec<String> = validator.iter_errors(&body["example"]).map(|e| e.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{method} {path}: {}", body["example"]);
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");

    // The panel on /docs finds its operations.
    let names = &document["components"]["securitySchemes"]["bearer"]["x-sign-in"];
    assert_eq!(*names, json!({ "register": "register", "login": "login", "refresh": "refresh", "logout": "logout" }));
}
