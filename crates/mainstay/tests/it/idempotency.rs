//! draft-ietf-httpapi-idempotency-key-header-07: what makes something may be sent again, on both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay::kernel::IdKind;
use mainstay::prelude::*;
use mainstay::store::Migrations;
use serde_json::json;
use testkit::{App, Reply, TestDatabase, both};
use tokio::sync::Notify;

#[derive(Debug)]
pub enum ParcelKind {}
impl IdKind for ParcelKind {
    const PREFIX: &'static str = "prc";
    const NAME: &'static str = "ParcelId";
}

/// A parcel.
#[view]
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Its id.
    id: Id<ParcelKind>,
    /// To whom.
    to: String,
}

impl Made for Parcel {
    type Of = Parcel;

    fn made(parcel: &Parcel) -> Created<Self> {
        Created::at(format!("/api/v1/parcels/{}", parcel.id), parcel.clone())
    }
}

/// What is to be sent.
#[input]
#[derive(Debug)]
pub struct NewParcel {
    /// To whom.
    #[check(length(min = 1, max = 20))]
    to: String,
}

#[derive(Debug, ApiError)]
pub enum ParcelError {
    /// Nobody lives there.
    #[api(Conflict, "Nobody of this name lives here.")]
    Unknown,
    #[api(from)]
    Store(StoreError),
}

/// Where parcels are kept, and a gate that holds a request while it is shut.
#[derive(Debug, Clone)]
struct Parcels {
    store: Store,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    is_shut: AtomicBool,
    arrived: Notify,
    opened: Notify,
}

impl Service for Parcels {}

impl Parcels {
    async fn add(&self, ctx: &Ctx, new: NewParcel) -> Result<Parcel, ParcelError> {
        if self.gate.is_shut.load(Ordering::SeqCst) {
            self.gate.arrived.notify_one();
            self.gate.opened.notified().await;
        }
        let parcel = Parcel { id: ctx.new_id(), to: new.to };
        let add = move |tx: Tx| {
            let parcel = parcel.clone();
            async move {
                tx.execute("INSERT INTO parcels (id, recipient) VALUES ($1, $2)", &params![parcel.id, &parcel.to])
                    .await?;
                if parcel.to == "nobody" { Err(ParcelError::Unknown) } else { Ok(parcel) }
            }
        };
        self.store.tx(ctx, add).await
    }
}

/// Send a parcel.
#[post("/parcels")]
async fn create_parcel(
    ctx: Ctx,
    parcels: Parcels,
    Valid(new): Valid<NewParcel>,
) -> Result<Created<Parcel>, ParcelError> {
    Ok(Parcel::made(&parcels.add(&ctx, new).await?))
}

/// Write on a wall.
///
/// Nothing is stored.
#[post("/walls")]
async fn create_wall(ctx: Ctx, Valid(new): Valid<NewParcel>) -> Result<Created<Parcel>, ParcelError> {
    Ok(Parcel::made(&Parcel { id: ctx.new_id(), to: new.to }))
}

fn domain() -> Domain {
    const TABLES: Migrations = Migrations {
        domain: "parcels",
        steps: &[("0001_parcels", "CREATE TABLE parcels (id id PRIMARY KEY, recipient text NOT NULL);")],
    };
    Domain::new("parcels").migrations(TABLES).endpoint(create_parcel).endpoint(create_wall).provide(|boot| async move {
        boot.put(Parcels { store: boot.store().clone(), gate: Arc::default() });
        Ok(())
    })
}

async fn app(db: TestDatabase) -> App {
    App::with(domain).start(db).await
}

async fn send(app: &App, key: &str, to: &str) -> Reply {
    app.post("/api/v1/parcels").header("idempotency-key", key).json(&json!({ "to": to })).await
}

async fn count(app: &App) -> i64 {
    let ctx = app.ctx();
    let counted: Option<(i64,)> = app.store().read(&ctx).row("SELECT count(*) FROM parcels", &[]).await.unwrap();
    counted.unwrap().0
}

fn same(first: &Reply, again: &Reply) {
    assert_eq!((first.status(), first.text()), (again.status(), again.text()));
    for name in ["location", "content-type", "etag"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
}

both! {
    async fn the_same_key_and_body_are_answered_as_the_first_time(db: TestDatabase) {
        let app = app(db).await;
        let first = send(&app, "\"key 1\"", "Ada").await.expect(201);
        same(&first, &send(&app, "\"key 1\"", "Ada").await);
        same(&first, &send(&app.second_node().await, "\"key 1\"", "Ada").await);
        let app = app.restart().await;
        same(&first, &send(&app, "\"key 1\"", "Ada").await);
        assert_eq!(count(&app).await, 1);
        // Quotes belong to the header, not to the key.
        let bare = send(&app, "key-2", "Ada").await.expect(201);
        same(&bare, &send(&app, "\"key-2\"", "Ada").await);
        assert_eq!(count(&app).await, 2);
    }

    async fn another_body_or_query_with_the_same_key_is_refused(db: TestDatabase) {
        let app = app(db).await;
        send(&app, "k", "Ada").await.expect(201);
        send(&app, "k", "Bob").await.expect_problem(422, "idempotency_key_reused");
        let reply = app.post("/api/v1/parcels?x=1").header("idempotency-key", "k").json(&json!({ "to": "Ada" })).await;
        reply.expect_problem(422, "idempotency_key_reused");
        // Another path is another request.
        app.post("/api/v1/walls").header("idempotency-key", "k").json(&json!({ "to": "Bob" })).await.expect(201);
        assert_eq!(count(&app).await, 1);
    }

    async fn what_failed_may_be_tried_again_with_its_key(db: TestDatabase) {
        let app = app(db).await;
        send(&app, "k", "").await.expect_problem(422, "invalid_request");
        send(&app, "k", "nobody").await.expect_problem(409, "unknown");
        send(&app, "k", "Ada").await.expect(201);
        assert_eq!(count(&app).await, 1);
    }

    async fn an_answer_is_kept_for_a_day(db: TestDatabase) {
        let app = app(db).await;
        let first = send(&app, "k", "Ada").await.expect(201);
        app.clock().advance(std::time::Duration::from_secs(24 * 60 * 60 - 1));
        same(&first, &send(&app, "k", "Ada").await);
        app.clock().advance(std::time::Duration::from_secs(1));
        let other = send(&app, "k", "Bob").await.expect(201);
        same(&other, &send(&app, "k", "Bob").await);
        assert_eq!(count(&app).await, 2);
    }

    async fn a_second_request_while_the_first_runs_is_a_conflict(db: TestDatabase) {
        let app = app(db).await;
        let gate = app.service::<Parcels>().gate;
        gate.is_shut.store(true, Ordering::SeqCst);
        let running = tokio::spawn({
            let app = app.clone();
            async move { send(&app, "k", "Ada").await }
        });
        gate.arrived.notified().await;
        send(&app, "k", "Ada").await.expect_problem(409, "idempotency_key_in_use");
        // On another node it is not known to run, and only one of both takes effect.
        let other = app.second_node().await;
        let winner = send(&other, "k", "Ada").await.expect(201);
        gate.is_shut.store(false, Ordering::SeqCst);
        gate.opened.notify_one();
        same(&winner, &running.await.unwrap());
        assert_eq!(count(&app).await, 1);
        // Whoever hangs up leaves the key to the next.
        gate.is_shut.store(true, Ordering::SeqCst);
        let hung_up = tokio::spawn({
            let app = app.clone();
            async move { send(&app, "k2", "Ada").await }
        });
        gate.arrived.notified().await;
        hung_up.abort();
        assert!(hung_up.await.unwrap_err().is_cancelled());
        gate.is_shut.store(false, Ordering::SeqCst);
        send(&app, "k2", "Ada").await.expect(201);
        assert_eq!(count(&app).await, 2);
    }

    async fn of_many_at_once_on_two_nodes_one_takes_effect(db: TestDatabase) {
        let app = app(db).await;
        let nodes = [app.clone(), app.second_node().await];
        let mut tasks = Vec::new();
        for i in 0..32 {
            let node = nodes[i % 2].clone();
            tasks.push(tokio::spawn(async move { send(&node, "k", "Ada").await }));
        }
        let mut made = Vec::new();
        for task in tasks {
            let reply = task.await.unwrap();
            match reply.status() {
                201 => made.push(reply),
                _ => drop(reply.expect_problem(409, "idempotency_key_in_use")),
            }
        }
        assert_eq!(made.iter().filter(|reply| reply.header("idempotency-replayed").is_none()).count(), 1);
        assert!(made.iter().all(|reply| reply.text() == made[0].text()));
        assert_eq!(count(&app).await, 1);
    }

    async fn an_answer_without_a_transaction_is_kept_too(db: TestDatabase) {
        let app = app(db).await;
        let send = || app.post("/api/v1/walls").header("idempotency-key", "k").json(&json!({ "to": "Ada" }));
        same(&send().await.expect(201), &send().await);
    }

    async fn what_is_no_key_is_refused(db: TestDatabase) {
        let app = app(db).await;
        for key in ["", "\"\"", "\"", "\"a", "a b", "a\"b", "\"a\\b\"", "\u{e9}", &"x".repeat(256)] {
            let reply = send(&app, key, "Ada").await;
            let code = if key == "\u{e9}" { "bad_header" } else { "bad_idempotency_key" };
            reply.expect_problem(400, code);
        }
        let call = app.post("/api/v1/parcels").header("idempotency-key", "a").header("idempotency-key", "b");
        call.json(&json!({ "to": "Ada" })).await.expect_problem(400, "bad_header");
        assert_eq!(count(&app).await, 0);
        send(&app, &"x".repeat(255), "Ada").await.expect(201);
    }
}

both! {
    async fn answers_whose_time_is_up_do_not_stay(db: TestDatabase) {
        let app = app(db).await;
        let kept = async || {
            let ctx = app.ctx();
            let found: Option<(i64,)> =
                app.store().read(&ctx).row("SELECT count(*) FROM idempotency_keys", &[]).await.unwrap();
            found.unwrap().0
        };
        for key in ["a", "b", "c"] {
            send(&app, key, "Ada").await.expect(201);
        }
        app.clock().advance(std::time::Duration::from_secs(12 * 60 * 60));
        send(&app, "d", "Ada").await.expect(201);
        assert_eq!(kept().await, 4);
        app.clock().advance(std::time::Duration::from_secs(12 * 60 * 60));
        app.running().tidy().await.unwrap();
        assert_eq!(kept().await, 1);
    }
}
