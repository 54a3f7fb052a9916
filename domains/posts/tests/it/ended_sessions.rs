//! Nobody writes who may no longer: a session or an account that ends while a request is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay::kernel::{AccountDirectory, UserId};
use mainstay::prelude::{ApiError, Boot, Created, CreatedFrom, Domain, Reads as _, Service, User, post, view};
use serde_json::{Value, json};
use testkit::{App, Caller, RawHttp, Served, TestDatabase, both};

use crate::app;

const PATH: &str = "/api/v1/posts";

/// Sends the head, and waits until the server asks for the body: the caller has been let in then.
async fn begin(served: &Served, caller: &Caller, method: &str, path: &str, body: &str) -> RawHttp {
    let mut wire = served.connect().await;
    let (token, length) = (caller.access_token(), body.len());
    wire.send(format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.head().await.0, 100, "RFC 9110 section 10.1.1");
    wire
}

/// What somebody leaves behind.
#[view]
#[derive(Debug, Clone)]
pub struct Farewell {
    /// To whom.
    to: String,
}

impl CreatedFrom for Farewell {
    type Source = Farewell;

    fn created(farewell: &Farewell) -> Created<Self> {
        Created::at("/api/v1/farewells/1".to_owned(), farewell.clone())
    }
}

/// Why nobody goes.
#[derive(Debug, ApiError)]
pub enum FarewellError {
    /// They went before.
    #[api(Conflict, "You are gone already.")]
    Gone,
}

#[derive(Clone)]
struct Exit(Arc<dyn AccountDirectory>);

impl Service for Exit {}

/// Say farewell.
///
/// The account is gone before what was made, where our database does not see it, is answered.
#[post("/farewells")]
async fn create_farewell(
    caller: mainstay::prelude::Caller<User>,
    exit: Exit,
) -> Result<Created<Farewell>, FarewellError> {
    match exit.0.delete(caller.ctx(), caller.user_id()).await {
        Ok(true) => Ok(Farewell::created(&Farewell { to: "all".to_owned() })),
        _ => Err(FarewellError::Gone),
    }
}

fn farewells() -> Domain {
    Domain::new("farewells").endpoint(create_farewell).provide(|boot: Boot| async move {
        let directory = boot.get::<Arc<dyn AccountDirectory>>()?;
        boot.put(Exit(directory));
        Ok(())
    })
}

async fn total(app: &App) -> Value {
    app.get(&format!("{PATH}?total=true")).await.expect(200).json()["total"].clone()
}

both! {
    async fn a_body_that_arrives_after_its_author_is_gone_is_refused(db: TestDatabase) {
        let app = app(db).await;
        let body = json!({ "title": "Late", "body": "", "published": true }).to_string();
        for end in ["account", "session"] {
            let ada = app.user(&format!("Ada of {end}")).await;
            let made = ada.post(PATH).json(&json!({ "title": "T", "body": "", "published": false })).await;
            let at = format!("{PATH}/{}", made.expect(201).json()["id"].as_str().unwrap());
            let served = app.serve();
            let mut create = begin(&served, &ada, "POST", PATH, &body).await;
            let mut update = begin(&served, &ada, "PATCH", &at, &body).await;
            match end {
                "account" => ada.delete("/api/v1/users/me").await.expect(204),
                _ => ada.post("/api/v1/auth/logout").await.expect(204),
            };
            for wire in [&mut create, &mut update] {
                wire.send(&body).await;
                wire.receive().await.expect_problem(401, "invalid_token");
            }
            assert_eq!(total(&app).await, 0, "{end}");
            served.stop().await;
        }
    }

    /// Another node has not heard of the end, and takes the token for good for two seconds more: its database knows better.
    async fn another_node_that_has_not_heard_refuses_too(db: TestDatabase) {
        let here = app(db).await;
        let there = here.second_node().await;
        let new = json!({ "title": "Late", "body": "", "published": true });
        for end in ["account", "session"] {
            let ada = here.user(&format!("Ada of {end}")).await;
            let made = ada.on(&there).post(PATH).json(&new).await.expect(201).json();
            let at = format!("{PATH}/{}", made["id"].as_str().unwrap());
            match end {
                "account" => ada.delete("/api/v1/users/me").await.expect(204),
                _ => ada.post("/api/v1/auth/logout").await.expect(204),
            };
            let ada = ada.on(&there);
            ada.post(PATH).json(&new).await.expect_problem(401, "invalid_token");
            ada.patch(&at).json(&json!({ "title": "Later" })).await.expect_problem(401, "invalid_token");
            ada.delete(&at).await.expect_problem(401, "invalid_token");
            // One's own profile is looked for first: with the account it is gone.
            let (status, code) = if end == "account" { (404, "user_not_found") } else { (401, "invalid_token") };
            let rename = ada.patch("/api/v1/users/me").json(&json!({ "display_name": "Ghost" })).await;
            rename.expect_problem(status, code);
            ada.delete("/api/v1/users/me").await.expect_problem(status, code);
        }
        assert_eq!(total(&here).await, 1, "the one of whom only a session ended");
    }

    /// Whatever was acknowledged is there, unless its author is gone: then nothing is, however the two met.
    async fn nothing_outlives_an_author_who_goes_while_writing(db: TestDatabase) {
        let app = app(db).await;
        for round in 0..3 {
            let ada = app.user(&format!("Ada {round}")).await;
            let is_over = Arc::new(AtomicBool::new(false));
            let writers: Vec<_> = (0..8)
                .map(|n| {
                    let (ada, is_over) = (ada.clone(), is_over.clone());
                    tokio::spawn(async move {
                        let mut made = 0;
                        let new = json!({ "title": format!("By {n}"), "body": "", "published": true });
                        while !is_over.load(Ordering::Acquire) {
                            let response = ada.post(PATH).json(&new).await;
                            match response.status() {
                                201 => made += 1,
                                401 => return made,
                                other => panic!("{other}: {}", response.text()),
                            }
                        }
                        made
                    })
                })
                .collect();
            while total(&app).await.as_u64().unwrap() < 10 {}
            ada.delete("/api/v1/users/me").await.expect(204);
            is_over.store(true, Ordering::Release);
            let mut made = 0;
            for writer in writers {
                made += writer.await.unwrap();
            }
            assert!(made >= 10, "{made}");
            assert_eq!(total(&app).await, 0, "of {made} acknowledged ones");
            app.running().clean_up().await.unwrap();
            let id: UserId = ada.id().parse().unwrap();
            assert_eq!(crate::erasure::rows_of(&app, id).await, 0, "nor is any row left");
        }
    }
    /// A stored answer belongs to its caller: it is not kept if the caller is gone before the save.
    async fn no_answer_is_kept_for_somebody_who_is_gone(db: TestDatabase) {
        let app = App::with(auth::domain).and(users::domain).and(::posts::domain).and(farewells).start(db).await;
        let ada = app.user("Ada").await;
        let response = ada.post("/api/v1/farewells").header("idempotency-key", "once").await.expect(201);
        assert_eq!(response.json()["to"], "all");
        app.running().clean_up().await.unwrap();
        let kept = app.store().read(&app.ctx()).row::<(i64,)>("SELECT count(*) FROM idempotency_keys", &[]).await;
        assert_eq!(kept.unwrap(), Some((0,)));
    }
}
