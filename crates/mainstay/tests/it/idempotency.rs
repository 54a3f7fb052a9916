//! draft-ietf-httpapi-idempotency-key-header-07: what makes something may be sent again, on both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay::kernel::{AccountDeleted, AccountRegistered, IdKind, Identity, SessionId};
use mainstay::prelude::*;
use mainstay::store::Migrations;
use mainstay::web::{AccessError, Authenticate, Authentication};
use serde_json::json;
use testkit::{App, Caller as TestCaller, Response, TestDatabase, both};
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

impl CreatedFrom for Parcel {
    type Source = Parcel;

    fn created(parcel: &Parcel) -> Created<Self> {
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
    /// There is one already.
    #[api(Conflict, "The only one is under way.")]
    Taken,
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
                let sql = "SELECT id FROM parcels WHERE recipient = $1";
                if parcel.to == "only" && !tx.rows::<(Id<ParcelKind>,)>(sql, &params![&parcel.to]).await?.is_empty() {
                    return Err(ParcelError::Taken);
                }
                tx.execute("INSERT INTO parcels (id, recipient) VALUES ($1, $2)", &params![parcel.id, &parcel.to])
                    .await?;
                if parcel.to == "nobody" { Err(ParcelError::Unknown) } else { Ok(parcel) }
            }
        };
        let parcel = self.store.tx(ctx, add).await?;
        assert_ne!(parcel.to, "fragile", "something breaks after the commit");
        Ok(parcel)
    }
}

/// Send a parcel.
#[post("/parcels")]
async fn create_parcel(
    ctx: Ctx,
    parcels: Parcels,
    Valid(new): Valid<NewParcel>,
) -> Result<Created<Parcel>, ParcelError> {
    Ok(Parcel::created(&parcels.add(&ctx, new).await?))
}

/// Write on a wall.
///
/// Nothing is stored.
#[post("/walls")]
async fn create_wall(ctx: Ctx, Valid(new): Valid<NewParcel>) -> Result<Created<Parcel>, ParcelError> {
    Ok(Parcel::created(&Parcel { id: ctx.new_id(), to: new.to }))
}

/// Send a letter, by someone who has signed in.
#[post("/letters")]
async fn create_letter(
    caller: Caller<User>,
    parcels: Parcels,
    Valid(new): Valid<NewParcel>,
) -> Result<Created<Parcel>, ParcelError> {
    Ok(Parcel::created(&parcels.add(caller.ctx(), new).await?))
}

/// An account.
#[view]
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    id: UserId,
    /// Whose.
    to: String,
}

impl CreatedFrom for Member {
    type Source = Member;

    fn created(member: &Member) -> Created<Self> {
        Created::at(format!("/api/v1/members/{}", member.id), member.clone())
    }
}

/// Join.
///
/// Anyone may, and an administrator may do it for them.
#[post("/members")]
async fn create_member(
    caller: Caller<Anyone>,
    parcels: Parcels,
    Valid(new): Valid<NewParcel>,
) -> Result<Created<Member>, ParcelError> {
    let join = move |tx: Tx| {
        let display_name = new.to.clone();
        async move {
            let member = Member { id: tx.ctx().new_id(), to: display_name.clone() };
            tx.emit(AccountRegistered { id: member.id, display_name, at: tx.ctx().now() }).await?;
            Ok::<_, ParcelError>(member)
        }
    };
    Ok(Member::created(&parcels.store.tx(caller.ctx(), join).await?))
}

/// The token is the number of its user.
struct Tokens;

fn user(number: u128) -> UserId {
    UserId::from_uuid(uuid::Uuid::from_u128(number))
}

impl Authenticate for Tokens {
    fn authenticate(&self, _: &Ctx, token: &str) -> Authentication {
        Authentication::Now(token.parse().map_err(|_| AccessError::InvalidToken).map(|number| Identity::User {
            user_id: user(number),
            session_id: SessionId::from_uuid(uuid::Uuid::from_u128(number)),
            role: Role::User,
        }))
    }
}

fn person(app: &App, number: u32) -> TestCaller {
    app.anonymous().with_token(&number.to_string())
}

fn domain() -> Domain {
    const TABLES: Migrations = Migrations {
        domain: "parcels",
        steps: &[("0001_parcels", "CREATE TABLE parcels (id id PRIMARY KEY, recipient text NOT NULL);")],
    };
    Domain::new("parcels")
        .migrations(TABLES)
        .endpoint(create_parcel)
        .endpoint(create_wall)
        .endpoint(create_letter)
        .endpoint(create_member)
        .provide(|boot| async move {
            boot.put(Parcels { store: boot.store().clone(), gate: Arc::default() });
            boot.authenticator(Arc::new(Tokens));
            Ok(())
        })
}

async fn app(db: TestDatabase) -> App {
    App::with(domain).start(db).await
}

async fn send(app: &App, key: &str, to: &str) -> Response {
    app.post("/api/v1/parcels").header("idempotency-key", key).json(&json!({ "to": to })).await
}

async fn write(caller: &TestCaller, key: &str, to: &str) -> Response {
    caller.post("/api/v1/letters").header("idempotency-key", key).json(&json!({ "to": to })).await
}

async fn rows(app: &App, table: &str) -> i64 {
    let ctx = app.ctx();
    let sql = format!("SELECT count(*) FROM {table}");
    let counted: Option<(i64,)> = app.store().read(&ctx).row(&sql, &[]).await.unwrap();
    counted.unwrap().0
}

async fn count(app: &App) -> i64 {
    rows(app, "parcels").await
}

async fn end_account(app: &App, id: UserId) {
    let end = move |tx: Tx| async move { tx.emit(AccountDeleted { id }).await };
    app.store().tx::<_, StoreError, _, _>(&app.ctx(), end).await.unwrap();
}

fn same(first: &Response, again: &Response) {
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
        let (ada, bob) = (person(&app, 1), person(&app, 2));
        let first = write(&ada, "k", "Ada").await.expect(201);
        write(&ada, "k", "Bob").await.expect_problem(422, "idempotency_key_reused");
        let response = ada.post("/api/v1/letters?x=1").header("idempotency-key", "k").json(&json!({ "to": "Ada" })).await;
        response.expect_problem(422, "idempotency_key_reused");
        // Another path is another request, and another's key is another's.
        ada.post("/api/v1/walls").header("idempotency-key", "k").json(&json!({ "to": "Bob" })).await.expect(201);
        let others = write(&bob, "k", "Ada").await.expect(201);
        assert_eq!(others.header("idempotency-replayed"), None);
        same(&first, &write(&ada, "k", "Ada").await);
        assert_eq!(count(&app).await, 2);
    }

    async fn of_callers_who_are_not_known_no_key_is_in_anothers_way(db: TestDatabase) {
        let app = app(db).await;
        let first = send(&app, "k", "Ada").await.expect(201);
        let strangers = send(&app, "k", "Bob").await.expect(201);
        assert_eq!(strangers.header("idempotency-replayed"), None);
        same(&first, &send(&app, "k", "Ada").await);
        same(&strangers, &send(&app, "k", "Bob").await);
        let known = person(&app, 1).post("/api/v1/parcels").header("idempotency-key", "k");
        assert_eq!(known.json(&json!({ "to": "Eve" })).await.expect(201).header("idempotency-replayed"), None);
        assert_eq!(count(&app).await, 3);
        // Nor while it runs.
        let gate = app.service::<Parcels>().gate;
        gate.is_shut.store(true, Ordering::SeqCst);
        let running = tokio::spawn({
            let app = app.clone();
            async move { send(&app, "k2", "Ada").await }
        });
        gate.arrived.notified().await;
        gate.is_shut.store(false, Ordering::SeqCst);
        send(&app, "k2", "Bob").await.expect(201);
        gate.opened.notify_one();
        running.await.unwrap().expect(201);
    }

    async fn what_is_stored_of_key_and_body_is_bound_to_the_secret(db: TestDatabase) {
        let app = app(db).await;
        let first = send(&app, "k", "Ada").await.expect(201);
        let other = "another secret key of 32 or more characters";
        let other = app.another_node(|setup| setup.set("secret_key", other)).await.unwrap();
        // It cannot make the digests under which the answer lies: to it the key is new.
        assert_eq!(send(&other, "k", "Ada").await.expect(201).header("idempotency-replayed"), None);
        same(&first, &send(&app, "k", "Ada").await);
        assert_eq!(count(&app).await, 2);
    }

    async fn an_answer_goes_with_the_account_it_was_given_to_or_tells_of(db: TestDatabase) {
        let app = app(db).await;
        let join = |caller: &TestCaller, to: &str| {
            caller.post("/api/v1/members").header("idempotency-key", "k").json(&json!({ "to": to })).send()
        };
        let id = |response: &Response| response.json()["id"].as_str().unwrap().parse::<UserId>().unwrap();
        let (nobody, admin) = (app.anonymous(), person(&app, 1));
        let ada = join(&nobody, "Ada").await.expect(201);
        let bob = join(&admin, "Bob").await.expect(201);
        let eve = join(&person(&app, 2), "Eve").await.expect(201);
        write(&person(&app, 3), "k", "Ada").await.expect(201);
        assert_eq!((rows(&app, "idempotency_keys").await, rows(&app, "idempotency_subjects").await), (4, 3));
        same(&ada, &join(&nobody, "Ada").await);
        end_account(&app, id(&ada)).await;
        // Sent again it is another account.
        let again = join(&nobody, "Ada").await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), None);
        assert_ne!(id(&again), id(&ada));
        // Bob was registered by the administrator, whose stored answer goes.
        end_account(&app, id(&bob)).await;
        assert_eq!(join(&admin, "Bob").await.expect(201).header("idempotency-replayed"), None);
        // Of a caller, all of it.
        for person in [1, 2, 3] {
            end_account(&app, user(person)).await;
        }
        // Soon is now for a test.
        app.running().clean_up().await.unwrap();
        assert_eq!(rows(&app, "idempotency_keys").await, 1);
        same(&again, &join(&nobody, "Ada").await);
        end_account(&app, id(&eve)).await;
        end_account(&app, id(&again)).await;
        assert_eq!(rows(&app, "idempotency_keys").await, 0);
        // What is noted for nothing goes with the time.
        app.clock().advance(std::time::Duration::from_secs(24 * 60 * 60));
        app.running().clean_up().await.unwrap();
        assert_eq!(rows(&app, "idempotency_subjects").await, 0);
    }

    async fn whatever_stands_in_the_way_an_answer_that_is_there_is_given(db: TestDatabase) {
        let app = app(db).await;
        let gate = app.service::<Parcels>().gate;
        gate.is_shut.store(true, Ordering::SeqCst);
        let running = tokio::spawn({
            let app = app.clone();
            async move { (send(&app, "k", "only").await, send(&app, "k3", "only").await) }
        });
        gate.arrived.notified().await;
        let winner = send(&app.second_node().await, "k", "only").await.expect(201);
        gate.is_shut.store(false, Ordering::SeqCst);
        gate.opened.notify_one();
        let (twin, other) = running.await.unwrap();
        same(&winner, &twin);
        // With another key it is a conflict.
        other.expect_problem(409, "taken");
        // Of a handler that breaks when all is done, the effect is answered.
        let fragile = send(&app, "k2", "fragile").await.expect(201);
        assert_eq!(fragile.text(), send(&app, "k2", "fragile").await.expect(201).text());
        assert_eq!(count(&app).await, 2);
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
        // A refused call leaves the key in use: the next is refused too.
        for _ in 0..3 {
            send(&app, "k", "Ada").await.expect_problem(409, "idempotency_key_in_use");
        }
        // On another node it is not known to run, and only one of both takes effect.
        let other = app.second_node().await;
        let winner = send(&other, "k", "Ada").await.expect(201);
        gate.is_shut.store(false, Ordering::SeqCst);
        gate.opened.notify_one();
        same(&winner, &running.await.unwrap());
        assert_eq!(count(&app).await, 1);
        // A caller that hangs up leaves the key to the next.
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
            let response = task.await.unwrap();
            match response.status() {
                201 => made.push(response),
                _ => drop(response.expect_problem(409, "idempotency_key_in_use")),
            }
        }
        assert_eq!(made.iter().filter(|response| response.header("idempotency-replayed").is_none()).count(), 1);
        assert!(made.iter().all(|response| response.text() == made[0].text()));
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
            let response = send(&app, key, "Ada").await;
            let code = if key == "\u{e9}" { "bad_header" } else { "bad_idempotency_key" };
            response.expect_problem(400, code);
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
        app.running().clean_up().await.unwrap();
        assert_eq!(kept().await, 1);
    }
}
