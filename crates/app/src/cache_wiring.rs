//! What a node remembers and what nodes share: it is opened here, told what transactions change, and put round the
//! operations whose answers are kept.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cache::{
    Backend, Bus, Cache, CacheConfig, Cached, InvalidationGuard, Key, KeySpace, Limiter, Target, Unanswered,
    WhenUnavailable,
};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use kernel::{Identity, Random};
use store::{CommitObserver, Invalidation, PendingInvalidation};
use tokio::time::Instant;
use web::{
    Body, CacheFor, Endpoint, Handler, Limits, Policy, Problem, Request, RequestError, Response, Security,
    WhenBackendDown,
};

use crate::{Settings, StartError};

/// What nodes share, opened.
#[derive(Debug, Clone)]
pub(crate) struct CacheWiring {
    pub(crate) backend: Backend,
    pub(crate) bus: Bus,
    pub(crate) cache: Cache,
    wanted: Arc<OnceLock<HashSet<String>>>,
}

impl CacheWiring {
    pub(crate) async fn open(settings: &Settings, space: &KeySpace, random: &Random) -> Result<Self, StartError> {
        let opened = Backend::open(&settings.cache, space, random).await;
        let backend = opened.map_err(|e| StartError::new(e.to_string()))?;
        let bus = Bus::new(&backend);
        let cache = Cache::new(&settings.cache, &backend, &bus);
        Ok(Self { backend, bus, cache, wanted: Arc::default() })
    }

    /// The observer of what transactions touch.
    pub(crate) fn watch(&self) -> Arc<dyn CommitObserver> {
        Arc::new(Forgetting { cache: self.cache.clone(), wanted: self.wanted.clone() })
    }

    /// The limits of the settings, and of domains.
    pub(crate) fn limits(
        &self,
        settings: &Settings,
        declared: &[&'static str],
        subject_key: [u8; 32],
    ) -> Result<Limits, StartError> {
        let declared = declared.iter().map(|line| line.parse::<Policy>()).collect::<Result<Vec<_>, _>>();
        let declared = declared.map_err(|e| StartError::new(e.to_string()))?;
        let when_unavailable = match settings.limits.without_redis {
            WhenBackendDown::Share => WhenUnavailable::Share,
            WhenBackendDown::Refuse => WhenUnavailable::Refuse,
        };
        let limiter = Limiter::new(&self.backend, &self.bus, when_unavailable);
        Limits::new(&settings.limits, &declared, Arc::new(limiter), subject_key).map_err(StartError::new)
    }

    /// Says which kinds something is kept of: what else transactions touch costs nothing.
    pub(crate) fn wants(&self, kinds: HashSet<String>) {
        // An app says so once, when it is put together.
        let _ = self.wanted.set(kinds);
    }

    pub(crate) async fn close(&self) {
        self.backend.close().await;
    }
}

/// How long it may take, in all, to tell other nodes of one change. What takes longer is caught up on.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Forgets what transactions touch.
struct Forgetting {
    cache: Cache,
    wanted: Arc<OnceLock<HashSet<String>>>,
}

impl CommitObserver for Forgetting {
    fn begin(&self, invalidations: Vec<Invalidation>) -> Option<Box<dyn PendingInvalidation>> {
        let wanted = self.wanted.get()?;
        let targets: Vec<Target> =
            invalidations.iter().filter(|invalidations| wanted.contains(invalidations.kind())).map(target).collect();
        if targets.is_empty() {
            return None;
        }
        Some(Box::new(Changed(self.cache.begin(targets, Instant::now() + TIMEOUT))))
    }
}

fn target(invalidations: &Invalidation) -> Target {
    match invalidations {
        Invalidation::One(kind, id) => Target::Under(Key::of(kind).id(id)),
        Invalidation::All(kind) => Target::Under(Key::of(kind)),
    }
}

struct Changed(InvalidationGuard);

impl PendingInvalidation for Changed {
    fn publish(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.publish())
    }

    fn done(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.0.done())
    }
}

/// The answers that are kept for operations that say so.
#[derive(Debug, Clone)]
pub(crate) struct Answers(Cache);

/// Why there is no answer to keep.
enum NotKept {
    /// It is of a kind that is given once: this one's own.
    Given(Box<Response>),
    Failed(Problem),
}

impl From<Unanswered> for NotKept {
    fn from(why: Unanswered) -> Self {
        Self::Failed(match why {
            Unanswered::Late => RequestError::Deadline.into(),
            Unanswered::Failed => RequestError::Overloaded.into(),
        })
    }
}

impl Answers {
    pub(crate) const fn new(cache: Cache) -> Self {
        Self(cache)
    }

    /// An operation whose answers are kept as it says, or as it is.
    ///
    /// # Errors
    /// When two are of one name.
    pub(crate) fn keep(&self, endpoint: Endpoint) -> Result<Endpoint, String> {
        let Some(CacheFor { seconds, of }) = endpoint.kept() else { return Ok(endpoint) };
        let config =
            CacheConfig::raw(endpoint.id()).keep(Duration::from_secs(seconds)).worth_after(2).weigh(Bytes::len);
        let cached = self.0.configure(config).map_err(|e| format!("the cache of `{}`: {e}", endpoint.id()))?;
        let key = Key::of(of.unwrap_or(endpoint.id())).field(endpoint.id());
        Ok(endpoint.wrapped(|handler| wrap(handler, cached, key)))
    }
}

fn wrap(handler: Handler, cached: Cached<Bytes>, key: Key) -> Handler {
    Arc::new(move |mut request: Request| {
        let (handler, cached, key) = (handler.clone(), cached.clone(), key.clone());
        Box::pin(async move {
            let key = match request.security() {
                None => key,
                Some(security) => match request.authenticate().await? {
                    // It is not answered.
                    Identity::Anonymous if security == Security::Required => return handler(request).await,
                    identity => key.by(&identity),
                },
            };
            let key = key.field(request.path()).field(request.query());
            let ctx = request.ctx().clone();
            let load = || async { handler(request).await.map_err(NotKept::Failed).and_then(keepable).map(Some) };
            match cached.get(&ctx, &key, load).await {
                Ok(body) => Ok(json(body.as_deref().cloned().unwrap_or_default())),
                Err(NotKept::Given(response)) => Ok(*response),
                Err(NotKept::Failed(problem)) => Err(problem),
            }
        })
    })
}

/// The body, where it is all that the answer says.
fn keepable(response: Response) -> Result<Bytes, NotKept> {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let says_more = response.headers().keys().any(|name| *name != CONTENT_TYPE && *name != ETAG)
        || response.headers().contains_key(CACHE_CONTROL);
    match response.body().bytes() {
        Some(bytes) if is_json && !says_more && response.status() == StatusCode::OK => Ok(bytes.clone()),
        _ => Err(NotKept::Given(Box::new(response))),
    }
}

fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
