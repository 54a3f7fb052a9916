use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::limits::Applied;
use crate::{Body, CreatedResponse, Operation, Problem, Request, Security};

/// An HTTP method that an endpoint can have (RFC 9110 section 9, RFC 5789).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Read; answered for HEAD as well.
    Get,
    /// Create, or act.
    Post,
    /// Replace.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// An answer.
pub type Response = http::Response<Body>;

/// What runs when an endpoint is called.
pub type Handler =
    Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>> + Send + Sync>;

/// How long an operation's answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheFor {
    /// In seconds.
    pub seconds: u64,
    /// With what they are forgotten.
    pub of: Option<&'static str>,
}

/// One operation of the API: where it is, what describes it and what runs. Made by `#[get]`, `#[post]` … from a plain
/// `async fn`; by hand only where operations are made from data, as resources are.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) is_root: bool,
    pub(crate) id: Arc<str>,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) describe: Arc<dyn Fn(&mut Operation<'_>) + Send + Sync>,
    pub(crate) handler: Handler,
    /// The longest body that its published schema lets through; known once the document is.
    pub(crate) most_bytes: Option<usize>,
    /// Who may call; known once it is described.
    pub(crate) security: Option<Security>,
    /// Whether it holds the preconditions that a client states; known once it is described.
    pub(crate) holds_preconditions: bool,
    /// Of what makes something: how its answer is written.
    pub(crate) write_created: Option<CreatedResponse>,
    /// The limits it names.
    pub(crate) limits: Vec<Arc<str>>,
    /// What a call takes from each of its limits.
    pub(crate) cost: u32,
    /// What it takes besides, by its query string.
    pub(crate) query_cost: Option<fn(&str) -> u32>,
    /// Whether the limits on all operations pass it by.
    pub(crate) is_unlimited: bool,
    /// How its answers are kept, where they are.
    pub(crate) kept: Option<CacheFor>,
    /// All of its limits, made ready; known once the API is assembled.
    pub(crate) applied: Option<Arc<Applied>>,
}

impl Endpoint {
    /// An operation. `docs` is its doc comment: the first paragraph is the summary, the rest the description.
    pub fn new(
        method: Method,
        path: impl Into<String>,
        id: impl Into<Arc<str>>,
        docs: &str,
        describe: impl Fn(&mut Operation<'_>) + Send + Sync + 'static,
        handler: Handler,
    ) -> Self {
        let docs = docs.trim();
        let (summary, description) = docs.split_once("\n\n").unwrap_or((docs, ""));
        Self {
            method,
            path: path.into(),
            is_root: false,
            id: id.into(),
            summary: summary.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned(),
            description: description.trim().to_owned(),
            describe: Arc::new(describe),
            handler,
            most_bytes: None,
            security: None,
            holds_preconditions: false,
            write_created: None,
            limits: Vec::new(),
            cost: 1,
            query_cost: None,
            is_unlimited: false,
            kept: None,
            applied: None,
        }
    }

    /// The same operation outside the base path (`/api/v1`): well-known addresses, health.
    #[must_use]
    pub const fn at_root(mut self) -> Self {
        self.is_root = true;
        self
    }

    /// The same operation, a POST that makes something: its answer is written from what its transaction returns, and
    /// given again to who sends the same `Idempotency-Key`. `write_created` answers none to what is of another type.
    #[must_use]
    pub fn idempotent(
        mut self,
        write_created: impl Fn(&dyn Any) -> Option<Result<Response, Problem>> + Send + Sync + 'static,
    ) -> Self {
        if self.method == Method::Post {
            self.write_created = Some(Arc::new(write_created));
        }
        self
    }

    /// The same operation with one more limit, by its name: a domain declares it with `Domain::limit`.
    #[must_use]
    pub fn limited_by(mut self, name: &str) -> Self {
        self.limits.push(name.into());
        self
    }

    /// The same operation, a call of which takes so much from each of its limits; 1 where nothing is said.
    #[must_use]
    pub const fn costing(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// The same operation, a call of which takes so much more by its query string, before that is judged: what makes a
    /// thousand rows be looked at costs more than what finds one.
    #[must_use]
    pub const fn costing_by_query(mut self, cost: fn(&str) -> u32) -> Self {
        self.query_cost = Some(cost);
        self
    }

    /// The same operation without the limits on all operations: for probes, which ask often and cost nothing.
    #[must_use]
    pub const fn unlimited(mut self) -> Self {
        self.is_unlimited = true;
        self
    }

    /// The same operation, whose answers are kept for a while, for each caller their own where it looks who calls; and
    /// forgotten when a transaction touches `of`, where that is said: `posts.list` for what the list of posts would change.
    /// Of a GET only.
    #[must_use]
    pub const fn cache_for(mut self, seconds: u64, of: Option<&'static str>) -> Self {
        self.kept = Some(CacheFor { seconds, of });
        self
    }

    /// How its answers are to be kept, where they are: the app sees to it.
    pub const fn kept(&self) -> Option<CacheFor> {
        self.kept
    }

    /// The same operation with another handler round its own.
    #[must_use]
    pub fn wrapped(self, wrap: impl FnOnce(Handler) -> Handler) -> Self {
        Self { handler: wrap(self.handler), ..self }
    }

    /// Its method.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Its path template, without the base path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its name: the handler's, and the document's `operationId`.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.method.name(), self.path, self.id)
    }
}

/// What `#[get]` and its siblings turn a function into.
pub trait EndpointDef {
    /// The operation.
    fn endpoint(&self) -> Endpoint;
}

impl EndpointDef for Endpoint {
    fn endpoint(&self) -> Endpoint {
        self.clone()
    }
}
