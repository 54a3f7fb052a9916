//! The document keeps its word, in both directions and for every operation in it: what a published schema accepts is not
//! refused for its shape; what it refuses is refused, with an error at that very place and nowhere else.
//!
//! On SQLite alone: nothing here is judged by a database. The draws are the same each time.

mod generate;

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};
use testkit::{App, Backend, Caller, Response, TestDatabase};
use tokio::runtime::Runtime;

use generate::{Schema, Wrong};

/// Refusals of what the schema accepts: operation, pointer, rule. A schema cannot say these. The list only shrinks.
const BEYOND_THE_SCHEMA: [(&str, &str, &str); 5] = [
    // The block list, and the person's own name and address.
    ("register", "/password", "common_password"),
    // Authenticated by the server: made up, it is never good.
    ("list_posts", "/cursor", "cursor"),
    ("list_users", "/cursor", "cursor"),
    // `id` and `-id` are two words to the schema.
    ("list_posts", "/sort", "repeated"),
    // Counted once it is normalized (NIST SP 800-63B-4 section 3.1.1.2).
    ("register", "/password", "length"),
];

/// One operation that takes a body or a query.
struct Operation {
    id: String,
    method: String,
    path: String,
    is_secured: bool,
    body: Option<Value>,
    parameters: Vec<(String, Value)>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let of_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let operation = Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                is_secured: operation["security"].as_array().is_some_and(|all| all.contains(&json!({ "bearer": [] }))),
                body: (!body.is_null()).then(|| body.clone()),
                parameters: of_query.map(|p| (p["name"].as_str().unwrap().to_owned(), p["schema"].clone())).collect(),
            };
            if operation.body.is_some() || !operation.parameters.is_empty() {
                found.push(operation);
            }
        }
    }
    found
}

/// The whole server, and somebody who may do everything.
struct Scene {
    // Dropped before the runtime it lives in.
    boss: Caller,
    post: String,
    document: Value,
    app: App,
    runtime: Runtime,
}

impl Scene {
    fn set() -> Self {
        let runtime = Runtime::new().unwrap();
        let (app, boss, post) = runtime.block_on(async {
            let app = App::with(auth::domain)
                .and(users::domain)
                .and(posts::domain)
                .promote(|running, ctx, email| async move {
                    let accounts: auth::Accounts = running.api.state().get::<auth::Accounts>().unwrap().clone();
                    let secret = mainstay::kernel::Secret::new(testkit::PASSWORD.to_owned());
                    accounts.promote(&ctx, &email, &secret).await.unwrap();
                })
                .start(TestDatabase::fresh(Backend::Sqlite).await)
                .await;
            let boss = app.admin().await;
            let post = boss.post("/api/v1/posts").json(&json!({ "title": "A", "body": "" })).await.expect(201);
            let post = post.json()["id"].as_str().unwrap().to_owned();
            (app, boss, post)
        });
        let document = app.running().api.document_value();
        Self { boss, post, document, app, runtime }
    }

    fn send(&self, operation: &Operation, query: &str, body: Option<&Value>) -> Response {
        let path = match operation.path.as_str() {
            "/api/v1/users/{id}" => operation.path.replace("{id}", &self.boss.id()),
            path if path.starts_with("/api/v1/posts/") => path.replace("{id}", &self.post),
            path => path.to_owned(),
        };
        assert!(!path.contains('{'), "a new path with a parameter: say in `Scene::send` what stands there: {path}");
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        self.runtime.block_on(async {
            let caller = match operation.id.as_str() {
                // It ends the session that it is called with.
                "logout" => self.boss.sign_in().await,
                _ if operation.is_secured => self.boss.clone(),
                _ => self.app.anonymous(),
            };
            let call = caller.call(operation.method.parse().unwrap(), &path);
            match body {
                Some(body) => call.json(body).await,
                None => call.await,
            }
        })
    }

    fn schema<'a>(&'a self, schema: &'a Value) -> Schema<'a> {
        Schema { root: &self.document, schema }
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut schema = json!({ "allOf": [schema] });
        schema["components"] = self.document["components"].clone();
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
    }
}

/// Tries a property on draws that are the same each time; what breaks it is shrunk.
fn hold<S: Strategy>(name: &str, cases: u32, draws: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(draws, property).unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Not refused for its shape.
fn must_pass(operation: &Operation, response: &Response) -> Result<(), TestCaseError> {
    prop_assert_ne!(response.status(), 400, "{}", response);
    if response.status() == 422 {
        for (pointer, code) in response.errors() {
            let is_known = BEYOND_THE_SCHEMA.contains(&(operation.id.as_str(), &pointer, &code));
            prop_assert!(is_known, "the document accepts it, but {pointer} is refused as {code}: {response}");
        }
    }
    Ok(())
}

/// Refused for that alone. What a schema cannot say may be refused beside it.
fn must_fail(operation: &Operation, wrong: &Wrong, response: &Response) -> Result<(), TestCaseError> {
    prop_assert_eq!(response.status(), 422, "{:?}: {}", wrong, response);
    let errors = response.errors();
    let is_named =
        errors.iter().any(|(pointer, code)| *pointer == wrong.pointer && wrong.code.is_none_or(|named| code == named));
    prop_assert!(is_named, "{wrong:?} is not named: {response}");
    for (pointer, code) in errors {
        let is_known = BEYOND_THE_SCHEMA.contains(&(operation.id.as_str(), &pointer, &code));
        prop_assert!(pointer == wrong.pointer || is_known, "{wrong:?}, but {pointer} is refused too: {response}");
    }
    Ok(())
}

/// Hashing a password takes most of the time of the operations that do.
fn cases(operation: &Operation, many: u32) -> u32 {
    if ["login", "logout", "register"].contains(&operation.id.as_str()) { many.div_ceil(8) } else { many }
}

#[test]
fn a_body_is_accepted_as_the_document_says() {
    let scene = Scene::set();
    let operations = operations(&scene.document);
    let mut tried = Vec::new();
    for operation in &operations {
        let Some(body) = &operation.body else { continue };
        let validator = scene.validator(body);
        hold(&operation.id, cases(operation, 96), &scene.schema(body).instances(), |instance| {
            prop_assert!(validator.is_valid(&instance), "the generator is wrong: {instance}");
            must_pass(operation, &scene.send(operation, "", Some(&instance)))
        });
        tried.push(operation.id.as_str());
    }
    assert!(tried.len() >= 7, "only {tried:?} take bodies");
}

#[test]
fn a_body_is_refused_as_the_document_says() {
    let scene = Scene::set();
    let operations = operations(&scene.document);
    let mut tried = 0;
    for operation in &operations {
        let Some(body) = &operation.body else { continue };
        let validator = scene.validator(body);
        let schema = scene.schema(body);
        let draws = schema.instances().prop_flat_map(move |instance| {
            let all = schema.wrongs(&instance);
            (Just(instance), proptest::sample::select(all))
        });
        hold(&operation.id, cases(operation, 96), &draws, |(instance, wrong)| {
            let spoilt = wrong.put_into(&instance);
            prop_assert!(!validator.is_valid(&spoilt), "the generator is wrong: {spoilt}");
            must_fail(operation, &wrong, &scene.send(operation, "", Some(&spoilt)))
        });
        // And each way to be wrong once, whatever is drawn.
        let whole = schema.fullest();
        for wrong in schema.wrongs(&whole) {
            let response = scene.send(operation, "", Some(&wrong.put_into(&whole)));
            must_fail(operation, &wrong, &response).unwrap_or_else(|error| panic!("{}: {error}", operation.id));
            tried += 1;
        }
    }
    assert!(tried >= 50, "only {tried} ways to be wrong");
}

/// A parameter's value as it stands in a query: lists with commas between (OpenAPI 3.1 `form`, not exploded).
fn written(value: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    match value {
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        value => text(value),
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn query(pairs: &[(String, Value)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(&written(value)))).collect();
    pairs.join("&")
}

/// Some of an operation's parameters, each with a value.
fn draws_of<'a>(scene: &'a Scene, operation: &'a Operation) -> impl Strategy<Value = Vec<(String, Value)>> + 'a {
    let most = operation.parameters.len().min(5);
    let all: Vec<usize> = (0..operation.parameters.len()).collect();
    proptest::sample::subsequence(all, 0..=most).prop_flat_map(move |chosen| {
        let parameters = chosen.into_iter().map(|index| &operation.parameters[index]);
        parameters
            .map(|(name, schema)| scene.schema(schema).instances().prop_map(move |value| (name.clone(), value)))
            .collect::<Vec<_>>()
    })
}

#[test]
fn a_query_is_accepted_as_the_document_says() {
    let scene = Scene::set();
    let operations = operations(&scene.document);
    let mut tried = Vec::new();
    for operation in operations.iter().filter(|operation| !operation.parameters.is_empty()) {
        hold(&operation.id, 192, &draws_of(&scene, operation), |pairs| {
            must_pass(operation, &scene.send(operation, &query(&pairs), None))
        });
        tried.push(operation.id.as_str());
    }
    assert!(tried.len() >= 4, "only {tried:?} take a query");
}

#[test]
fn a_query_is_refused_as_the_document_says() {
    let scene = Scene::set();
    let operations = operations(&scene.document);
    let mut tried = 0;
    for operation in operations.iter().filter(|operation| !operation.parameters.is_empty()) {
        let refused = |pairs: &[(String, Value)], wrong: &Wrong| {
            must_fail(operation, wrong, &scene.send(operation, &query(pairs), None))
        };
        for (name, schema) in &operation.parameters {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            for wrong in scene.schema(schema).wrong_texts(&pointer) {
                // Beside others that are right.
                let others = draws_of(&scene, operation).prop_map(|pairs| {
                    pairs.into_iter().filter(|(other, _)| other != name && other != "cursor").collect::<Vec<_>>()
                });
                hold(&format!("{} {name}", operation.id), 2, &others, |mut pairs| {
                    pairs.push((name.clone(), wrong.value.clone().unwrap()));
                    refused(&pairs, &wrong)
                });
                tried += 1;
            }
            // One name, one value (a parameter sent twice is malformed, not invalid).
            let pair = (name.clone(), json!("x"));
            let twice = scene.send(operation, &query(&[pair.clone(), pair]), None);
            assert_eq!((twice.status(), twice.code().as_deref()), (400, Some("repeated_field")), "{twice}");
        }
        let unknown = Wrong { pointer: "/nonsense".to_owned(), code: Some("unknown_field"), value: Some(json!("1")) };
        let pairs = [("nonsense".to_owned(), json!("1"))];
        refused(&pairs, &unknown).unwrap_or_else(|error| panic!("{}: {error}", operation.id));
    }
    assert!(tried >= 60, "only {tried} ways to be wrong");
}
