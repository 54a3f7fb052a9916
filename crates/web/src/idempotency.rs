//! `Idempotency-Key`: a request that makes something may be sent again, and is answered as the first time
//! (draft-ietf-httpapi-idempotency-key-header-07). The answer is saved in the transaction of the effect, so that there is
//! never one without the other.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use kernel::{Code, Ctx, Identity, KeyedHash, RequestPart, UserId};
use serde_json::json;

use crate::panic_guard::guarded;
use crate::{Body, Endpoint, Operation, Parameter, Problem, Request, RequestBody, RequestError, Response, Security};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What of an answer is kept beside its body.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, LOCATION, ETAG];

/// The longest key.
const MOST_CHARACTERS: usize = 255;

/// Writes the answer of an operation that makes something, from what its transaction returns; none where it is of
/// another type.
pub type CreatedResponse = Arc<dyn Fn(&dyn Any) -> Option<Result<Response, Problem>> + Send + Sync>;

/// One use of a key: the key, by whom, for which path. A digest, so that what is stored tells nobody the key. Callers who are
/// not known share nothing but what they send: each body is a use of its own, and nobody's key is in another's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyUse(pub [u8; 32]);

/// What was asked: a digest of the query and the body. Made with a key of the deployment's: a body may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// An answer that can be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Its HTTP status.
    pub status: u16,
    /// Its headers, as far as they belong to what it says.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// A future of a [`IdempotencyStore`].
pub type Storing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// Keeps answers for 24 hours beside the effects they tell of. The façade supplies it over the store.
pub trait IdempotencyStore: Send + Sync + 'static {
    /// What [`KeyUse`] and [`Fingerprint`] are made with: the same on all nodes.
    fn hash(&self) -> &KeyedHash;

    /// The answer kept for this use of a key, and what it answered.
    fn find<'a>(&'a self, ctx: &'a Ctx, key: KeyUse) -> Storing<'a, Option<(Fingerprint, StoredResponse)>>;

    /// What makes the store save the run's answer, to be attached to the operation's [`Ctx`](Ctx::attach).
    fn commit_hook(&self, run: Arc<KeyedRun>) -> Arc<dyn Any + Send + Sync>;

    /// Saves an answer by itself, where no transaction of the operation did. One that is there already stays.
    fn save<'a>(&'a self, ctx: &'a Ctx, run: &'a KeyedRun, answer: StoredResponse) -> Storing<'a, ()>;
}

/// A run of an operation under a key.
pub struct KeyedRun {
    /// Which use of which key.
    pub key: KeyUse,
    /// What was asked.
    pub fingerprint: Fingerprint,
    /// By whom; none where the operation does not look.
    pub user_id: Option<UserId>,
    write_created: CreatedResponse,
    /// Whether a transaction saved the answer. Whether that took effect, the handler's outcome tells.
    is_saved: AtomicBool,
}

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
    pub fn answer(&self, value: &dyn Any) -> Option<Result<StoredResponse, Problem>> {
        (self.write_created)(value).map(|response| response.map(|response| kept(&response)))
    }

    /// To be told when the answer was saved in a transaction that is yet to be committed.
    pub fn is_saved(&self) {
        self.is_saved.store(true, Ordering::Release);
    }
}

/// Uses of keys that run on this node now.
#[derive(Debug, Default)]
pub(crate) struct RunningKeys(Mutex<HashSet<KeyUse>>);

impl RunningKeys {
    fn begin(&self, key: KeyUse) -> Option<Turn<'_>> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        // Created only if the key is new: dropping one frees the key, which another request may hold.
        is_new.then(|| Turn { running: self, key })
    }
}

/// Ends when dropped, so also when the client hangs up.
struct Turn<'a> {
    running: &'a RunningKeys,
    key: KeyUse,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Whether a request asks for it, where the operation makes something.
pub(crate) fn is_asked(request: &Request, endpoint: &Endpoint) -> bool {
    endpoint.write_created.is_some()
        && request.parts.method == Method::POST
        && request.headers().contains_key(&IDEMPOTENCY_KEY)
}

/// Runs an operation, or answers as it did before.
pub(crate) async fn run(mut request: Request, endpoint: &Endpoint) -> Result<Response, Problem> {
    let api = request.api.clone();
    let (Some(keeper), Some(write_created)) = (api.keeper.clone(), endpoint.write_created.clone()) else {
        return (endpoint.handler)(request).await;
    };
    let name = key(&request)?.to_owned();
    let identity = match endpoint.security {
        // The endpoint does not look at its caller.
        None => Identity::Anonymous,
        Some(Security::Optional | Security::Required) => request.authenticate().await?,
    };
    // Nobody's keys are nobody's secret: those who may not call at all find nothing out.
    if endpoint.security == Some(Security::Required) && identity.user_id().is_none() {
        return (endpoint.handler)(request).await;
    }
    let body = request.read_body().await?;
    let (hash, user_id) = (keeper.hash(), identity.user_id());
    let fingerprint = hash.digest([b"asked", request.query().as_bytes(), &body]);
    let (path, name) = (request.path().as_bytes(), name.as_bytes());
    let key = KeyUse(match user_id {
        Some(id) => hash.digest([b"a person's", id.as_uuid().as_bytes(), path, name]),
        None => hash.digest([b"anybody's", &fingerprint, path, name]),
    });
    let fingerprint = Fingerprint(fingerprint);
    request.body = Some(RequestBody::Whole(body));

    let Some(_turn) = api.keys_running.begin(key) else { return Err(RequestError::KeyInUse.into()) };
    let ctx = request.ctx.clone();
    if let Some(response) = replay(&*keeper, &ctx, key, fingerprint).await? {
        return Ok(response);
    }
    let run = Arc::new(KeyedRun { key, fingerprint, user_id, write_created, is_saved: AtomicBool::new(false) });
    request.ctx = ctx.clone().attach(keeper.commit_hook(run.clone()));
    match guarded((endpoint.handler)(request).as_mut()).await {
        Ok(response) => {
            if response.status() == StatusCode::CREATED && !run.is_saved.load(Ordering::Acquire) {
                // Saved in the caller's name: an answer does not outlive its account. If the account is gone before the
                // save, nobody can ask for the answer again.
                match keeper.save(&ctx.by(identity), &run, kept(&response)).await {
                    Err(problem) if problem.code() == Code::Unauthenticated => {}
                    saved => saved?,
                }
            }
            Ok(response)
        }
        // What stood in the way may be the effect of the same request on another node, or this one's own: then it was
        // answered, and that is its answer.
        Err(problem) => match replay(&*keeper, &ctx, key, fingerprint).await {
            Ok(Some(response)) => Ok(response),
            Err(reused) if reused.code() == Code::Invalid => Err(reused),
            Ok(None) | Err(_) => Err(problem),
        },
    }
}

/// The answer that was given before, if there is one.
async fn replay(
    keeper: &dyn IdempotencyStore,
    ctx: &Ctx,
    key: KeyUse,
    fingerprint: Fingerprint,
) -> Result<Option<Response>, Problem> {
    match keeper.find(ctx, key).await? {
        None => Ok(None),
        Some((other, _)) if other != fingerprint => Err(RequestError::KeyReused.into()),
        Some((_, answer)) => again(answer).map(Some),
    }
}

fn kept(response: &Response) -> StoredResponse {
    let header = |name: &HeaderName| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    StoredResponse {
        status: response.status().as_u16(),
        headers: KEPT_HEADERS.iter().filter_map(header).collect(),
        body: response.body().bytes().cloned().unwrap_or_default(),
    }
}

fn again(answer: StoredResponse) -> Result<Response, Problem> {
    let mut response = Response::new(Body::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(|_| RequestError::Unwritable)?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).map_err(|_| RequestError::Unwritable)?;
        response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(|_| RequestError::Unwritable)?);
    }
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
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

/// What the document says of it.
pub(crate) fn describe(operation: &mut Operation<'_>) {
    operation.parameter(Parameter {
        place: RequestPart::Header,
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
