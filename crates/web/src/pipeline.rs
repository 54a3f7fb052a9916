//! The one layer round every handler: request id, limits, deadline, routing, panic guard, conditional answers, CORS,
//! compression, log. One function instead of nine middlewares: see `docs/decisions/0003-one-fused-layer.md`.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method as HttpMethod, StatusCode};
use kernel::{Ctx, Identity};
use tokio::time::Instant;

use crate::body_memory::{BodyPlace, SMALL};
use crate::conditional::{ETags, check_supported, none_match};
use crate::limits::{RATELIMIT, RATELIMIT_POLICY, RateLimitHeaders};
use crate::panic_guard::guarded;
use crate::router::{Found, METHODS, allow_header};
use crate::{Api, Body, Endpoint, Problem, Request, RequestBody, RequestError, Response, compress, cors, idempotency};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Api {
    /// Answers a request. Never fails and never panics: whatever goes wrong becomes a problem.
    pub async fn handle(self: &Arc<Self>, request: http::Request<RequestBody>) -> Response {
        self.answer(request, None, false).await
    }

    /// The same for a request that came from `peer`, as a server's socket told.
    pub async fn handle_from(self: &Arc<Self>, peer: SocketAddr, request: http::Request<RequestBody>) -> Response {
        self.answer(request, Some(peer), false).await
    }

    /// The same; where it is one too many it is refused.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        request: http::Request<RequestBody>,
        peer: Option<SocketAddr>,
        is_too_much: bool,
    ) -> Response {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let parts = Arc::new(parts);
        let request_id = given_request_id(&parts.headers).unwrap_or_else(|| self.new_request_id());
        let deadline = started + self.settings.request_timeout();
        let mut ctx =
            Ctx::new(Identity::Anonymous, request_id.clone(), deadline, self.clock.clone(), self.random.clone());
        if let Some(peer) = peer {
            ctx = ctx.from(self.proxies.client(peer, &parts.headers));
        }

        let address = ctx.address();
        let (mut preflight_allow, mut told) = (None, None);
        let outcome = match self.admit(&parts, &body) {
            Err(error) => {
                // Where this one ends nobody can tell: nothing more is read.
                if error != RequestError::BadFraming {
                    body.drain();
                }
                Err(error.into())
            }
            Ok(()) => match self.router.find(&parts.method, parts.uri.path()) {
                Found::Endpoint(..) if is_too_much || self.has_no_memory(address, &parts, started) => {
                    body.drain();
                    Err(RequestError::Overloaded.into())
                }
                // Before anything is asked of anyone. RFC 9110 sections 15.5.16 and 12.5.3.
                Found::Endpoint(..) if is_coded(&parts) => {
                    body.drain();
                    let accepted = HeaderValue::from_static("identity");
                    Err(Problem::from(RequestError::ContentCoding).with_header(ACCEPT_ENCODING, accepted))
                }
                Found::Endpoint(endpoint, params) => {
                    // Held until there is an answer.
                    let place = body.may_be_large().then(BodyPlace::default);
                    let request = Request {
                        parts: parts.clone(),
                        body: Some(body),
                        place: place.clone(),
                        most_bytes: endpoint.most_bytes,
                        params,
                        next_param: 0,
                        ctx: ctx.of(endpoint.id.clone()),
                        authenticated: None,
                        security: endpoint.security,
                        api: self.clone(),
                    };
                    run(serve(request, endpoint, &mut told), deadline).await
                }
                Found::OtherMethods(allow) if parts.method == HttpMethod::OPTIONS => {
                    body.drain();
                    preflight_allow = cors::is_preflight(&parts.headers).then_some(allow);
                    Ok(options(Some(allow)))
                }
                // A page sees the 404 only where its browser may ask for it (Fetch section 4.8).
                Found::Nothing if parts.method == HttpMethod::OPTIONS && self.cors.lets_ask(&parts.headers) => {
                    body.drain();
                    preflight_allow = Some(METHODS);
                    Ok(options(None))
                }
                // Of the server as a whole (RFC 9110 section 9.3.7).
                Found::Nothing if parts.method == HttpMethod::OPTIONS && parts.uri.path() == "*" => {
                    body.drain();
                    Ok(options(Some(METHODS)))
                }
                Found::OtherMethods(allow) => {
                    body.drain();
                    let error = RequestError::NoMethod { allow: allow.to_owned() };
                    Err(Problem::from(error).with_header(ALLOW, allow_header(allow)))
                }
                Found::Nothing => {
                    body.drain();
                    Err(RequestError::NoRoute.into())
                }
            },
        };

        let mut response = match outcome {
            Ok(response) => response,
            Err(problem) => {
                // Of those that are one too many `LoadShedder` tells, once a second.
                if !is_too_much {
                    log_problem(&problem, &parts.method, parts.uri.path(), &request_id);
                }
                // Where the next request would begin nobody can tell (RFC 9112 section 6.3, RFC 9110 section 15.5.9).
                let is_lost = matches!(problem.name(), "malformed_request" | "body_broken" | "request_timeout")
                    && parts.version != http::Version::HTTP_2;
                // Which language is asked for only once there is something to say.
                let language = self.languages.choose(&parts.headers);
                let instance = self.base_path.before(parts.uri.path());
                let mut response = problem.into_response(&instance, &request_id, language);
                if is_lost {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        };
        if let Some(RateLimitHeaders { policy, state, is_why }) = told {
            response.headers_mut().insert(RATELIMIT_POLICY, policy);
            // A limit that the handler keeps itself is not among those that this tells of: it would contradict.
            if response.status() != StatusCode::TOO_MANY_REQUESTS || is_why {
                response.headers_mut().insert(RATELIMIT, state);
            }
        }
        self.base_path.put_before_location(&mut response);
        self.finish(&parts.method, &parts.headers, &request_id, preflight_allow, &mut response);
        // Boxed: few are large, and every request would carry its size.
        if let Some(address) = address
            && response.body().len() > SMALL
            && let Err(error) = Box::pin(self.hold_memory(address, &parts, &mut response)).await
        {
            let (instance, language) = (self.base_path.before(parts.uri.path()), self.languages.choose(&parts.headers));
            let mut refusal = Problem::from(error).into_response(&instance, &request_id, language);
            for name in [RATELIMIT_POLICY, RATELIMIT] {
                refusal.headers_mut().extend(response.headers_mut().remove(&name).map(|value| (name, value)));
            }
            response = refusal;
            self.finish(&parts.method, &parts.headers, &request_id, None, &mut response);
        }
        tracing::info!(
            target: "mainstay::access",
            method = parts.method.as_str(),
            path = parts.uri.path(),
            status = response.status().as_u16(),
            duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_id = &*request_id,
            client_address = self.client_address.of(address).map(tracing::field::display),
        );
        response
    }

    /// Whether the answer to this was refused its memory just now, and would be again.
    fn has_no_memory(&self, address: Option<IpAddr>, parts: &Parts, now: Instant) -> bool {
        is_read(&parts.method) && address.is_some_and(|address| self.answers.refuses(address, parts.uri.path(), now))
    }

    /// Counts the memory of a large answer to somebody outside until it has left.
    async fn hold_memory(&self, address: IpAddr, parts: &Parts, response: &mut Response) -> Result<(), RequestError> {
        let held = self.answers.hold(address, parts.uri.path(), response.body().len(), is_read(&parts.method)).await?;
        response.body_mut().hold(held);
        Ok(())
    }

    /// What every answer needs. Headers are made from the whole answer; its body goes last, if it goes.
    pub(crate) fn finish(
        &self,
        method: &HttpMethod,
        request: &HeaderMap,
        request_id: &str,
        preflight_allow: Option<&str>,
        response: &mut Response,
    ) {
        let is_read = is_read(method);
        let is_ok = is_read && response.status() == StatusCode::OK;
        if !response.headers().contains_key(CACHE_CONTROL) {
            if is_ok {
                tag(&self.etags, response);
            }
            // No cache stores answers to other methods (RFC 9111 section 3), but an answer to an authenticated caller says
            // itself that it is private.
            if is_read || request.contains_key(AUTHORIZATION) {
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
            }
        }
        if let Ok(value) = HeaderValue::from_str(request_id) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.cors.decorate(request, response.headers_mut(), preflight_allow);
        let coding = compress::choose(request, response, self.settings.compress_above_bytes);
        if is_ok && is_known(request, response.headers()) {
            if let Some(coding) = coding {
                compress::mark(response.headers_mut(), coding);
            }
            shorten(response);
            return;
        }
        if let Some(coding) = coding {
            compress::compress(response, coding);
        }
        if method == HttpMethod::HEAD {
            // RFC 9110 section 8.6: the length that GET would say, and none where there can be none.
            if response.status() != StatusCode::NO_CONTENT && response.status() != StatusCode::NOT_MODIFIED {
                let length = response.body().len();
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            *response.body_mut() = Body::empty();
        }
    }
}

fn is_read(method: &HttpMethod) -> bool {
    method == HttpMethod::GET || method == HttpMethod::HEAD
}

/// Gives a JSON answer its strong entity tag. One from a cache brings its own.
fn tag(etags: &ETags, response: &mut Response) {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes() == b"application/json");
    if is_json
        && !response.headers().contains_key(ETAG)
        && let Some(tag) = response.body().bytes().and_then(|bytes| etags.of(bytes).to_header())
    {
        response.headers_mut().insert(ETAG, tag);
    }
}

/// Whether the client has this answer already.
fn is_known(request: &HeaderMap, response: &HeaderMap) -> bool {
    response.get(ETAG).and_then(|tag| tag.to_str().ok()).is_some_and(|tag| none_match(request, tag))
}

/// Makes a 200 the 304 that stands for it: without the body and what describes nothing but the body (RFC 9110 section
/// 15.4.5). Everything else stays as the 200 has it.
fn shorten(response: &mut Response) {
    *response.body_mut() = Body::empty();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH] {
        response.headers_mut().remove(name);
    }
}

/// The answer to OPTIONS.
fn options(allow: Option<&str>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow_header(allow));
    }
    response
}

/// Calls an endpoint, if its limits let it be called.
async fn serve(
    mut request: Request,
    endpoint: &Endpoint,
    told: &mut Option<RateLimitHeaders>,
) -> Result<Response, Problem> {
    if let Some(limits) = &endpoint.applied {
        limits.admit(&mut request, endpoint.security.is_none(), told).await?;
    }
    check_supported(&request.parts, endpoint.holds_preconditions)?;
    if idempotency::is_asked(&request, endpoint) {
        // Boxed: few ask for it, and every request would carry its size.
        Box::pin(idempotency::run(request, endpoint)).await
    } else {
        (endpoint.handler)(request).await
    }
}

/// Runs a handler until the deadline, and catches its panic. A handler that is ready at once arms no timer.
async fn run(handler: impl Future<Output = Result<Response, Problem>>, deadline: Instant) -> Result<Response, Problem> {
    let handler = pin!(handler);
    let mut guarded = pin!(guarded(handler));
    let first = std::future::poll_fn(|cx| match guarded.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => Poll::Ready(None),
    });
    match first.await {
        Some(outcome) => outcome,
        // A little after the deadline that the handler sees itself, so that its own, more exact answer comes first.
        None => tokio::time::timeout_at(deadline + Duration::from_millis(100), guarded)
            .await
            .unwrap_or_else(|_| Err(RequestError::Deadline.into())),
    }
}

/// Whether the body is compressed, by its own word (RFC 9110 section 8.4). None is ever decoded here: what a few bytes
/// would become is not known before they have.
fn is_coded(parts: &Parts) -> bool {
    let mut codings = parts.headers.get_all(CONTENT_ENCODING).iter();
    let is_read = parts.method == HttpMethod::GET || parts.method == HttpMethod::HEAD;
    !is_read && codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// The client's own request id, where it is one that can be logged as it stands.
fn given_request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(&X_REQUEST_ID)?.to_str().ok()?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ((1..=128).contains(&text.len()) && text.bytes().all(is_plain)).then(|| text.into())
}

/// Loud for our errors, with the whole chain of causes; quiet for the caller's.
fn log_problem(problem: &Problem, method: &HttpMethod, path: &str, request_id: &str) {
    if !problem.code().is_server_fault() {
        tracing::debug!(target: "mainstay::problem", code = problem.name(), %method, path, request_id);
        return;
    }
    let mut chain = String::new();
    let mut next = problem.cause();
    while let Some(cause) = next {
        if !chain.is_empty() {
            chain.push_str(": ");
        }
        chain.push_str(&cause.to_string());
        next = cause.source();
    }
    tracing::error!(target: "mainstay::problem", code = problem.name(), %method, path, request_id, cause = %chain);
}

impl Drop for Request {
    /// Whatever the handler did not read of the body is read and forgotten, so that the answer arrives.
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            body.drain();
        }
    }
}
