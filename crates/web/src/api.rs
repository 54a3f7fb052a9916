use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use kernel::{ApiError, Catalogue, Clock, Code, Ctx, ErrorDoc, Random, Text, text};
use serde_json::{Value, json};

use crate::accept_language::Languages;
use crate::answers::Answers;
use crate::base_path::BasePath;
use crate::body_memory::BodyMemory;
use crate::client_ip::{ClientAddress, TrustedProxies};
use crate::cors::Cors;
use crate::docs_ui;
use crate::hex::DIGITS;
use crate::openapi::{Described, Info, describe};
use crate::response::json_response;
use crate::router::Router;
use crate::{
    Authenticate, Body, ETags, Endpoint, IdempotencyStore, Limits, Method, Response, ServerSettings, idempotency,
};

/// The services that domains provide, by type.
#[derive(Default)]
pub struct State(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl State {
    /// Puts a service in; the one of its type that was there goes.
    pub fn insert<T: Any + Send + Sync>(&mut self, service: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(service));
    }

    /// The service of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} services)", self.0.len())
    }
}

/// Digits that tell the request ids of one process from another's.
const PREFIX_DIGITS: usize = 10;

/// Asks whether what the API stands on can be reached.
pub type ReadyCheck = Arc<dyn Fn(Ctx) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// An API, assembled: it answers requests, in process or behind a [`Server`](crate::Server).
pub struct Api {
    pub(crate) router: Router,
    pub(crate) settings: ServerSettings,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) languages: Languages,
    pub(crate) body_memory: BodyMemory,
    pub(crate) answers: Arc<Answers>,
    state: State,
    authenticator: Option<Arc<dyn Authenticate>>,
    ready_check: Option<ReadyCheck>,
    pub(crate) keeper: Option<Arc<dyn IdempotencyStore>>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) cors: Cors,
    pub(crate) keys_running: idempotency::RunningKeys,
    document: Bytes,
    errors: BTreeMap<&'static str, ErrorDoc>,
    operations: Vec<(Method, String, String)>,
    pub(crate) base_path: BasePath,
    pub(crate) client_address: ClientAddress,
    pub(crate) etags: ETags,
    is_draining: AtomicBool,
    request_prefix: [u8; PREFIX_DIGITS],
    request_count: AtomicU64,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("router", &self.router).finish_non_exhaustive()
    }
}

/// The API contradicts itself; the message names both sides and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError(pub String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

/// Collects what an [`Api`] is made of.
pub struct ApiBuilder {
    settings: ServerSettings,
    clock: Clock,
    random: Random,
    info: Info,
    languages: Languages,
    state: State,
    authenticator: Option<Arc<dyn Authenticate>>,
    ready_check: Option<ReadyCheck>,
    keeper: Option<Arc<dyn IdempotencyStore>>,
    limits: Option<Limits>,
    base_path: BasePath,
    client_address: ClientAddress,
    endpoints: Vec<(String, String, Endpoint)>,
    /// What the document says of a tag.
    about: BTreeMap<String, String>,
}

impl fmt::Debug for ApiBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiBuilder").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl ApiBuilder {
    /// The path under which endpoints stand unless they are `root`.
    pub const BASE_PATH: &'static str = "/api/v1";

    /// An empty API.
    pub fn new(settings: ServerSettings, clock: Clock, random: Random) -> Self {
        let info =
            Info { title: "Mainstay".into(), version: env!("CARGO_PKG_VERSION").into(), description: String::new() };
        Self {
            settings,
            clock,
            random,
            info,
            languages: Languages::default(),
            state: State::default(),
            authenticator: None,
            ready_check: None,
            keeper: None,
            limits: None,
            base_path: BasePath::default(),
            client_address: ClientAddress::None,
            endpoints: Vec::new(),
            about: BTreeMap::new(),
        }
    }

    /// What the document says of the API as a whole.
    #[must_use]
    pub fn info(mut self, title: &str, version: &str, description: &str) -> Self {
        self.info = Info { title: title.into(), version: version.into(), description: description.into() };
        self
    }

    /// Adds what problems say in a language; of two for one text, the later counts.
    pub fn texts(&mut self, catalogue: Catalogue) {
        self.languages.add(catalogue);
    }

    /// The services, to fill.
    pub const fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Who tells what a token stands for.
    pub fn authenticator(&mut self, authenticator: Arc<dyn Authenticate>) {
        self.authenticator = Some(authenticator);
    }

    /// What `/health/ready` asks.
    pub fn ready_check(&mut self, check: ReadyCheck) {
        self.ready_check = Some(check);
    }

    /// Who keeps the answers of requests with an `Idempotency-Key`. Without one the header says nothing.
    pub fn keeper(&mut self, keeper: Arc<dyn IdempotencyStore>) {
        self.keeper = Some(keeper);
    }

    /// How often callers may call. Without it nothing is limited.
    pub fn limits(&mut self, limits: Limits) {
        self.limits = Some(limits);
    }

    /// The path that a proxy takes off those of requests, and that links therefore have: `/app`.
    pub fn base_path(&mut self, path: &str) {
        self.base_path = BasePath::new(path);
    }

    /// What the access log says of clients' addresses. Without it, nothing.
    pub const fn client_address(&mut self, shown: ClientAddress) {
        self.client_address = shown;
    }

    /// Adds an operation under the tag of its domain.
    pub fn endpoint(&mut self, tag: &str, endpoint: Endpoint) {
        let base = if endpoint.is_root { "" } else { Self::BASE_PATH };
        self.endpoints.push((format!("{base}{}", endpoint.path), tag.to_owned(), endpoint));
    }

    /// Says what a tag is about, above its operations.
    pub fn about(&mut self, tag: &str, about: &str) {
        self.about.insert(tag.to_owned(), about.to_owned());
    }

    /// Assembles everything, and refuses contradictions.
    ///
    /// # Errors
    /// Two operations or schemas of one name, two operations at one place, an argument without its service.
    pub fn build(mut self) -> Result<Arc<Api>, BuildError> {
        for endpoint in own_endpoints() {
            self.endpoint("system", endpoint);
        }
        self.about("system", "The server itself: whether it runs, whether it can serve, and what it offers.");
        let sign_in = self.authenticator.as_ref().and_then(|authenticator| authenticator.sign_in());
        let Described { mut document, needs, errors, mut most_bytes, security, preconditions } =
            describe(&self.info, sign_in, &self.endpoints, &self.about).map_err(BuildError)?;
        for (operation, id, name) in needs {
            if !self.state.0.contains_key(&id) {
                return Err(BuildError(format!(
                    "`{operation}` takes `{name}`, but no domain provides one. Add `.provide(…)` to its domain."
                )));
            }
        }
        document["servers"][0]["url"] = self.base_path.of_server().into();
        let proxies = TrustedProxies::read(&self.settings.trusted_proxies).map_err(BuildError)?;
        let cors = Cors::read(&self.settings.cors).map_err(BuildError)?;
        if let Some(limits) = &self.limits {
            let is_there = |id: &str| self.endpoints.iter().any(|(_, _, endpoint)| &*endpoint.id == id);
            let is_named =
                |name: &str| self.endpoints.iter().any(|(_, _, e)| e.limits.iter().any(|limit| **limit == *name));
            limits.check_operations(is_there, is_named).map_err(BuildError)?;
        }
        let mut router = Router::default();
        let mut operations = Vec::new();
        for (path, _, mut endpoint) in self.endpoints {
            endpoint.most_bytes = most_bytes.remove(&*endpoint.id);
            endpoint.security = security.get(&*endpoint.id).copied();
            endpoint.holds_preconditions = preconditions.contains(&*endpoint.id);
            if let Some(limits) = &self.limits {
                endpoint.applied = limits.of(&endpoint).map_err(BuildError)?;
            }
            operations.push((endpoint.method, path.clone(), endpoint.id.to_string()));
            router.add(&path, &Arc::new(endpoint)).map_err(BuildError)?;
        }
        if self.settings.docs {
            for page in docs_ui::endpoints(&self.info.title) {
                let path = page.path.clone();
                if operations.iter().any(|(_, taken, _)| *taken == path) {
                    return Err(BuildError(format!(
                        "an operation has the path {path} of a documentation page. Move it, or set server.docs to false."
                    )));
                }
                router.add(&path, &Arc::new(page)).map_err(BuildError)?;
            }
        }
        let request_prefix = self.random.bytes::<PREFIX_DIGITS>().map(|byte| DIGITS[usize::from(byte & 15)]);
        let etags = self.state.get().copied().unwrap_or_else(|| ETags::new([0; 32]));
        Ok(Arc::new(Api {
            router,
            body_memory: BodyMemory::new(self.settings.body_memory_bytes),
            answers: Answers::new(self.settings.answer_memory_bytes),
            settings: self.settings,
            clock: self.clock,
            random: self.random,
            languages: self.languages,
            state: self.state,
            authenticator: self.authenticator,
            ready_check: self.ready_check,
            keeper: self.keeper,
            proxies,
            cors,
            keys_running: idempotency::RunningKeys::default(),
            document: serde_json::to_vec_pretty(&document).unwrap_or_default().into(),
            errors,
            operations,
            base_path: self.base_path,
            client_address: self.client_address,
            etags,
            is_draining: AtomicBool::new(false),
            request_prefix,
            request_count: AtomicU64::new(0),
        }))
    }
}

impl Api {
    /// How requests are received.
    pub const fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// The services.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The OpenAPI document, as served.
    pub const fn document(&self) -> &Bytes {
        &self.document
    }

    /// The OpenAPI document as JSON, for checks.
    pub fn document_value(&self) -> Value {
        serde_json::from_slice(&self.document).unwrap_or_default()
    }

    /// Every failure any operation can answer with, by its stable name.
    pub const fn errors(&self) -> &BTreeMap<&'static str, ErrorDoc> {
        &self.errors
    }

    /// Every operation: method, full path, name.
    pub fn operations(&self) -> &[(Method, String, String)] {
        &self.operations
    }

    pub(crate) fn authenticator(&self) -> Option<&Arc<dyn Authenticate>> {
        self.authenticator.as_ref()
    }

    /// From now on `/health/ready` says no, so that a load balancer stops sending.
    pub fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// A new request id: the process's own random prefix and a count. Unique, cheap, and sorts by arrival.
    pub(crate) fn new_request_id(&self) -> Arc<str> {
        request_id(&self.request_prefix, self.request_count.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether it can serve: it is not stopping, and what it stands on answers.
    pub async fn is_ready(&self, ctx: &Ctx) -> bool {
        if self.is_draining.load(Ordering::SeqCst) {
            return false;
        }
        match &self.ready_check {
            Some(check) => check(ctx.clone()).await,
            None => true,
        }
    }
}

/// `94e7090a38-00232a`, put together by hand: every request has one, and `format!` took 1,100 of a small one's 24,000
/// instructions.
fn request_id(prefix: &[u8; PREFIX_DIGITS], count: u64) -> Arc<str> {
    let mut text = *b"0000000000-0000000000000000";
    let digits = (count.max(1).ilog2() / 4 + 1).max(6) as usize;
    let text = &mut text[..PREFIX_DIGITS + 1 + digits];
    text[..PREFIX_DIGITS].copy_from_slice(prefix);
    for (at, digit) in text[PREFIX_DIGITS + 1..].iter_mut().rev().enumerate() {
        *digit = DIGITS[(count >> (4 * at) & 15) as usize];
    }
    std::str::from_utf8(text).unwrap_or_default().into()
}

/// Not ready to serve.
#[derive(Debug)]
struct NotReady;

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not ready")
    }
}

impl std::error::Error for NotReady {}

impl ApiError for NotReady {
    fn code(&self) -> Code {
        Code::Unavailable
    }

    fn name(&self) -> &'static str {
        "not_ready"
    }

    fn message(&self) -> Text {
        text!("The server is starting, stopping, or cannot reach its database.")
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        out.push(ErrorDoc {
            code: Code::Unavailable,
            name: "not_ready",
            meaning: "The server cannot serve right now.",
        });
    }
}

fn own_endpoints() -> [Endpoint; 3] {
    let status = |word: &str| json!({ "type": "object", "properties": { "status": { "type": "string", "const": word } }, "required": ["status"] });
    let live = Endpoint::new(
        Method::Get,
        "/health/live",
        "get_health_live",
        "Whether the process runs.\n\nAsks nobody else, the database neither: a process that does not answer this is to be \
         started anew.",
        move |op| op.success(200, "It runs.", Some(status("live")), json!({})),
        Arc::new(|_| Box::pin(async { json_response(StatusCode::OK, &json!({ "status": "live" })) })),
    );
    let ready = Endpoint::new(
        Method::Get,
        "/health/ready",
        "get_health_ready",
        "Whether requests can be served.\n\nNot while it starts or stops, nor while the database is away: send it none then.",
        move |op| {
            op.success(200, "It can.", Some(status("ready")), json!({}));
            let mut docs = Vec::new();
            NotReady::describe(&mut docs);
            docs.into_iter().for_each(|doc| op.error(doc));
        },
        Arc::new(|request| {
            Box::pin(async move {
                if request.api.is_ready(&request.ctx).await {
                    json_response(StatusCode::OK, &json!({ "status": "ready" }))
                } else {
                    Err(NotReady.into())
                }
            })
        }),
    );
    let document = Endpoint::new(
        Method::Get,
        "/openapi.json",
        "get_openapi",
        "This document.\n\nIt is made from the code that answers, so that the two cannot part.",
        |op| op.success(200, "The OpenAPI 3.1 document.", Some(json!({ "type": "object" })), json!({})),
        Arc::new(|request| {
            Box::pin(async move {
                let mut response = Response::new(Body::new(request.api.document.clone()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(response)
            })
        }),
    );
    [live.at_root().unlimited(), ready.at_root().unlimited(), document.at_root()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_has_six_digits_of_the_count_or_more() {
        for (count, id) in [
            (0, "0123456789-000000"),
            (0x23_2a, "0123456789-00232a"),
            (0xff_ffff, "0123456789-ffffff"),
            (0x0100_0000, "0123456789-1000000"),
            (u64::MAX, "0123456789-ffffffffffffffff"),
        ] {
            assert_eq!(&*request_id(b"0123456789", count), id);
        }
    }
}
