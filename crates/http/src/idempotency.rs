//! `Idempotency-Key`: a request that makes something may be sent again, and is answered as the first time
//! (draft-ietf-httpapi-idempotency-key-header-07). The answer is saved in the transaction of the effect, so that there is
//! never one without the other.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_types::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http_types::{Method, StatusCode};
use kernel::{Ctx, Identity, Place, UserId};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Body, Endpoint, Operation, Parameter, Problem, Reply, Request, RequestBody, RequestError, Security};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What of an answer is kept beside its body.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, LOCATION, ETAG];

/// The longest key.
const MOST_CHARACTERS: usize = 255;

/// Writes the answer of an operation that makes something, from what its transaction returns; none where it is of
/// another type.
pub type MadeReply = Arc<dyn Fn(&dyn Any) -> Option<Result<Reply, Problem>> + Send + Sync>;

/// One use of a key: the key, by whom, for which path. A digest, so that what is stored tells nobody the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyUse(pub [u8; 32]);

/// What was asked: a digest of the query and the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// An answer that can be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its HTTP status.
    pub status: u16,
    /// Its headers, as far as they belong to what it says.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// A future of a [`KeepAnswers`].
pub type Keeping<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// Keeps answers for 24 hours beside the effects they tell of. The façade supplies it over the store.
pub trait KeepAnswers: Send + Sync + 'static {
    /// The answer kept for this use of a key, and what it answered.
    fn find<'a>(&'a self, ctx: &'a Ctx, key: KeyUse) -> Keeping<'a, Option<(Fingerprint, KeptAnswer)>>;

    /// What makes the store save the run's answer, to be attached to the operation's [`Ctx`](Ctx::attach).
    fn witness(&self, run: Arc<KeyedRun>) -> Arc<dyn Any + Send + Sync>;

    /// Saves an answer by itself, where no transaction of the operation did. One that is there already stays.
    fn save<'a>(&'a self, ctx: &'a Ctx, run: &'a KeyedRun, answer: KeptAnswer) -> Keeping<'a, ()>;
}

/// A run of an operation under a key.
pub struct KeyedRun {
    /// Which use of which key.
    pub key: KeyUse,
    /// What was asked.
    pub fingerprint: Fingerprint,
    /// By whom; none where the operation does not look.
    pub user_id: Option<UserId>,
    made: MadeReply,
    fate: AtomicU8,
}

/// No transaction has returned what the answer is made of.
const OPEN: u8 = 0;
/// The answer was saved in a transaction. Whether that took effect, the handler's outcome tells.
const SAVED: u8 = 1;
/// Another run, on another node, had saved its answer first; the transaction was rolled back.
const BEATEN: u8 = 2;

impl fmt::Debug for KeyedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRun").field("key", &self.key).field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl KeyedRun {
    /// The answer to what a transaction returned; none where it is not what the operation makes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn answer(&self, value: &dyn Any) -> Option<Result<KeptAnswer, Problem>> {
        (self.made)(value).map(|reply| reply.map(|reply| kept(&reply)))
    }

    /// To be told when the answer was saved in a transaction that is yet to be committed.
    pub fn is_saved(&self) {
        self.fate.store(SAVED, Ordering::Release);
    }

    /// To be told when another run's answer was there.
    pub fn is_beaten(&self) {
        self.fate.store(BEATEN, Ordering::Release);
    }
}

/// Uses of keys that run on this node now.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashSet<KeyUse>>);

impl Running {
    fn begin(&self, key: KeyUse) -> Option<Turn<'_>> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        is_new.then_some(Turn { running: self, key })
    }
}

/// Ends when dropped, so also when the client hangs up.
struct Turn<'a> {
    running: &'a Running,
    key: KeyUse,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Whether a request asks for it, where the operation makes something.
pub(crate) fn is_asked(request: &Request, endpoint: &Endpoint) -> bool {
    endpoint.made.is_some() && request.parts.method == Method::POST && request.headers().contains_key(&IDEMPOTENCY_KEY)
}

/// Runs an operation, or answers as it did before.
pub(crate) async fn run(mut request: Request, endpoint: &Endpoint) -> Result<Reply, Problem> {
    let api = request.api.clone();
    let (Some(keeper), Some(made)) = (api.keeper.clone(), endpoint.made.clone()) else {
        return (endpoint.handler)(request).await;
    };
    let key = key(&request)?.to_owned();
    let identity = match endpoint.security {
        // It does not look who asks.
        None => Identity::Anonymous,
        Some(Security::Optional | Security::Required) => request.authenticate().await?,
    };
    // Nobody's keys are nobody's secret: those who may not call at all find nothing out.
    if endpoint.security == Some(Security::Required) && identity.user_id().is_none() {
        return (endpoint.handler)(request).await;
    }
    let body = request.read_body().await?;
    let fingerprint = Fingerprint(digest([request.query().as_bytes(), &body]));
    let user_id = identity.user_id();
    let who = user_id.map(|id| id.to_string()).unwrap_or_default();
    let key = KeyUse(digest([who.as_bytes(), request.path().as_bytes(), key.as_bytes()]));
    request.body = Some(RequestBody::Whole(body));

    let Some(_turn) = api.keys_running.begin(key) else { return Err(RequestError::KeyInUse.into()) };
    let ctx = request.ctx.clone();
    if let Some(reply) = replay(&*keeper, &ctx, key, fingerprint).await? {
        return Ok(reply);
    }
    let run = Arc::new(KeyedRun { key, fingerprint, user_id, made, fate: AtomicU8::new(OPEN) });
    request.ctx = ctx.clone().attach(keeper.witness(run.clone()));
    let outcome = (endpoint.handler)(request).await;
    match (outcome, run.fate.load(Ordering::Acquire)) {
        (Err(problem), BEATEN) => replay(&*keeper, &ctx, key, fingerprint).await?.ok_or(problem),
        (Ok(reply), OPEN) if reply.status() == StatusCode::CREATED => {
            keeper.save(&ctx, &run, kept(&reply)).await?;
            Ok(reply)
        }
        (outcome, _) => outcome,
    }
}

/// The answer that was given before, if there is one.
async fn replay(
    keeper: &dyn KeepAnswers,
    ctx: &Ctx,
    key: KeyUse,
    fingerprint: Fingerprint,
) -> Result<Option<Reply>, Problem> {
    match keeper.find(ctx, key).await? {
        None => Ok(None),
        Some((other, _)) if other != fingerprint => Err(RequestError::KeyReused.into()),
        Some((_, answer)) => again(answer).map(Some),
    }
}

fn kept(reply: &Reply) -> KeptAnswer {
    let header = |name: &HeaderName| {
        let value = reply.headers().get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    KeptAnswer {
        status: reply.status().as_u16(),
        headers: KEPT_HEADERS.iter().filter_map(header).collect(),
        body: reply.body().bytes().cloned().unwrap_or_default(),
    }
}

fn again(answer: KeptAnswer) -> Result<Reply, Problem> {
    let mut reply = Reply::new(Body::new(answer.body));
    *reply.status_mut() = StatusCode::from_u16(answer.status).map_err(|_| RequestError::Unwritable)?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).map_err(|_| RequestError::Unwritable)?;
        reply.headers_mut().insert(name, HeaderValue::try_from(value).map_err(|_| RequestError::Unwritable)?);
    }
    reply.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    Ok(reply)
}

/// The key: a string of a structured field (RFC 9651 section 3.3.3), or the same without its quotes, as many clients
/// send it.
fn key(request: &Request) -> Result<&str, Problem> {
    let text = request.header(IDEMPOTENCY_KEY, "idempotency-key")?.unwrap_or_default();
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    let is_good = |b: u8| matches!(b, b'!'..=b'~') && b != b'"' && b != b'\\' || b == b' ' && quoted.is_some();
    if (1..=MOST_CHARACTERS).contains(&key.len()) && key.bytes().all(is_good) {
        Ok(key)
    } else {
        Err(RequestError::BadKey.into())
    }
}

/// Of all parts, none of which can be mistaken for another.
fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What the document says of it.
pub(crate) fn describe(operation: &mut Operation<'_>) {
    operation.parameter(Parameter {
        place: Place::Header,
        name: "Idempotency-Key".to_owned(),
        required: false,
        description:
            "Makes it safe to send this again: within 24 hours the same key with the same body is answered as the \
                      first time, and nothing happens twice. Take a new one, such as a UUID, for each thing to be made."
                .to_owned(),
        schema: json!({ "type": "string", "pattern": r#"^("[ !#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255})$"# }),
    });
    for name in ["bad_idempotency_key", "idempotency_key_in_use", "idempotency_key_reused"] {
        operation.request_error(name);
    }
}
