//! A domain small enough to see through: accounts whose token names their session in plain text, and notes. One of its
//! endpoints breaks its own document on purpose.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay::kernel::{AccountRegistered, Identity, SessionId};
use mainstay::prelude::*;
use mainstay::store::{Migrations, Reads};
use mainstay::web::{AccessError, Authenticate, Authentication};
use serde_json::json;

const TABLES: &str = "
    CREATE TABLE note_accounts (id id PRIMARY KEY, email text NOT NULL UNIQUE, role text NOT NULL);
    CREATE TABLE notes (id id PRIMARY KEY, text text NOT NULL, created_at time NOT NULL);
";

#[derive(Debug)]
pub enum NoteKind {}
impl IdKind for NoteKind {
    const PREFIX: &'static str = "note";
    const NAME: &'static str = "NoteId";
}
pub type NoteId = Id<NoteKind>;

/// What can go wrong.
#[derive(Debug, ApiError)]
pub enum NoteError {
    /// There is no such note.
    #[api(NotFound, "There is no note with this id.")]
    NoteNotFound,
    /// E-mail or password is wrong.
    #[api(Forbidden, "Nobody signs in like this.")]
    LoginRefused,
    /// The database did not do it.
    #[api(from)]
    Store(StoreError),
}

#[input]
pub struct Registration {
    #[check(email)]
    email: String,
    password: Secret<String>,
    display_name: String,
}

#[input]
pub struct Login {
    #[check(email)]
    email: String,
    password: Secret<String>,
}

#[view]
pub struct Tokens {
    access_token: String,
}

#[view]
pub struct Registered {
    id: UserId,
}

#[input]
pub struct NewNote {
    #[check(length(min = 1, max = 20))]
    text: String,
}

#[view]
#[derive(Clone)]
pub struct Note {
    id: NoteId,
    text: String,
    created_at: Time,
}

#[derive(Row)]
struct NoteRow {
    text: String,
    created_at: Time,
}

#[derive(Row)]
struct AccountRow {
    id: UserId,
    role: String,
}

#[derive(Debug, Clone)]
pub struct Notes {
    pub store: Store,
}
impl mainstay::web::Service for Notes {}

impl Notes {
    pub async fn make_admin(&self, ctx: &Ctx, email: String) {
        let change = move |tx: Tx| {
            let email = email.clone();
            async move { tx.execute("UPDATE note_accounts SET role = 'admin' WHERE email = $1", &params![email]).await }
        };
        assert_eq!(self.store.tx(ctx, change).await.unwrap(), 1);
    }
}

impl CreatedFrom for Registered {
    type Source = UserId;

    fn created(id: &UserId) -> Created<Self> {
        Created::at("/api/v1/me", Self { id: *id })
    }
}

impl CreatedFrom for Note {
    type Source = Note;

    fn created(note: &Note) -> Created<Self> {
        Created::at(format!("/api/v1/notes/{}", note.id), note.clone())
    }
}

/// Make an account.
#[post("/auth/register")]
async fn register(ctx: Ctx, notes: Notes, Valid(new): Valid<Registration>) -> Result<Created<Registered>, NoteError> {
    assert!(new.password.expose().len() >= 15);
    let id = UserId::new(ctx.clock(), ctx.random());
    let make = move |tx: Tx| {
        let (email, display_name) = (new.email.clone(), new.display_name.clone());
        async move {
            let sql = "INSERT INTO note_accounts (id, email, role) VALUES ($1, $2, 'user')";
            tx.execute(sql, &params![id, email]).await?;
            tx.emit(AccountRegistered { id, display_name, at: tx.ctx().now() }).await?;
            Ok::<_, StoreError>(id)
        }
    };
    let id = notes.store.tx(&ctx, make).await?;
    Ok(Registered::created(&id))
}

/// Sign in.
#[post("/auth/login")]
async fn login(ctx: Ctx, notes: Notes, Valid(login): Valid<Login>) -> Result<NoStore<Tokens>, NoteError> {
    assert!(!login.password.expose().is_empty());
    let sql = "SELECT id, role FROM note_accounts WHERE email = $1";
    let account: Option<AccountRow> = notes.store.read(&ctx).row(sql, &params![login.email]).await?;
    let account = account.ok_or(NoteError::LoginRefused)?;
    let claims = json!({ "sub": account.id, "role": account.role }).to_string();
    Ok(NoStore(Tokens { access_token: format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)) }))
}

/// Keep a note.
#[post("/notes")]
async fn create_note(ctx: Ctx, notes: Notes, Valid(new): Valid<NewNote>) -> Result<Created<Note>, NoteError> {
    let note = Note { id: NoteId::new(ctx.clock(), ctx.random()), text: new.text.clone(), created_at: ctx.now() };
    let make = move |tx: Tx| {
        let note = note.clone();
        async move {
            let params = params![note.id, &note.text, note.created_at];
            tx.execute("INSERT INTO notes (id, text, created_at) VALUES ($1, $2, $3)", &params).await?;
            Ok::<_, StoreError>(note)
        }
    };
    let note = notes.store.tx(&ctx, make).await?;
    Ok(Note::created(&note))
}

/// Read a note.
#[get("/notes/{id}")]
async fn get_note(ctx: Ctx, notes: Notes, Path(id): Path<NoteId>) -> Result<Json<Note>, NoteError> {
    let sql = "SELECT text, created_at FROM notes WHERE id = $1";
    let row: Option<NoteRow> = notes.store.read(&ctx).row(sql, &params![id]).await?;
    let row = row.ok_or(NoteError::NoteNotFound)?;
    Ok(Json(Note { id, text: row.text, created_at: row.created_at }))
}

/// Who I am.
#[get("/me")]
async fn get_me(caller: Caller<User>) -> Result<Json<Registered>, NoteError> {
    Ok(Json(Registered { id: caller.user_id() }))
}

/// What administrators see.
#[get("/secrets")]
async fn get_secrets(_caller: Caller<Admin>) -> Result<NoContent, NoteError> {
    Ok(NoContent)
}

/// Says one thing in its schema and another in its answer.
#[derive(Debug)]
pub struct Liar;

impl mainstay::web::Success for Liar {
    fn describe(op: &mut mainstay::web::Operation<'_>) {
        op.success(200, "OK", Some(json!({ "type": "object", "required": ["truth"] })), json!({}));
    }

    fn into_response(self) -> Result<mainstay::web::Response, mainstay::web::Problem> {
        mainstay::web::Success::into_response(Json(Registered { id: UserId::from_uuid(Default::default()) }))
    }
}

/// Breaks its document.
#[get("/lie")]
async fn get_lie() -> Result<Liar, NoteError> {
    Ok(Liar)
}

struct PlainTokens;

impl Authenticate for PlainTokens {
    fn authenticate(&self, ctx: &Ctx, token: &str) -> Authentication {
        let read = || {
            let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
            let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
            Some(Identity::User {
                user_id: claims["sub"].as_str()?.parse().ok()?,
                session_id: SessionId::new(ctx.clock(), ctx.random()),
                role: Role::from_name(claims["role"].as_str()?)?,
            })
        };
        Authentication::Now(read().ok_or(AccessError::InvalidToken))
    }
}

impl fmt::Debug for PlainTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainTokens")
    }
}

pub fn domain() -> Domain {
    Domain::new("notes")
        .migrations(Migrations { domain: "notes", steps: &[("0001_notes", TABLES)] })
        .endpoint(register)
        .endpoint(login)
        .endpoint(create_note)
        .endpoint(get_note)
        .endpoint(get_me)
        .endpoint(get_secrets)
        .endpoint(get_lie)
        .provide(|boot| async move {
            boot.put(Notes { store: boot.store().clone() });
            boot.authenticator(Arc::new(PlainTokens));
            Ok(())
        })
}
