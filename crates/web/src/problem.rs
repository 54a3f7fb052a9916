use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use kernel::{ApiError, Code, ErrorDoc, FieldError, Invalid, Text, text};
use serde::Serialize;

use crate::accept_language::Language;
use crate::{Body, Response};

/// A failure on its way to the caller (RFC 9457). Made from any [`ApiError`]; the cause stays behind for the log. Its
/// texts are put into the caller's language only here, when the answer is made.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    name: &'static str,
    detail: Text,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl<E: ApiError> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(Box::new(Inner {
            code: error.code(),
            name: error.name(),
            detail: error.message(),
            fields: error.fields().to_vec(),
            retry_after: error.retry_after(),
            headers: Vec::new(),
            cause: Some(Arc::new(error)),
        }))
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: Cow<'static, str>,
    status: u16,
    detail: Cow<'static, str>,
    instance: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<WireField<'a>>>,
}

#[derive(Serialize)]
struct WireField<'a> {
    r#in: &'static str,
    pointer: &'a str,
    code: &'static str,
    message: Cow<'static, str>,
}

impl<'a> WireField<'a> {
    fn of(error: &'a FieldError, language: &Language) -> Self {
        let message = language.say(&error.message);
        Self { r#in: error.place.name(), pointer: &error.pointer, code: error.code, message }
    }
}

impl Problem {
    /// Its kind.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Its stable name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The errors by field.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// The same problem with a header on its answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The failure itself, for the log; its chain of sources says why.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }

    /// The answer. `path` is what was asked for, without its query: a query may hold secrets.
    pub(crate) fn into_response(self, path: &str, request_id: &str, language: &Language) -> Response {
        let fields = &self.0.fields;
        let errors = (!fields.is_empty()).then(|| fields.iter().map(|f| WireField::of(f, language)).collect());
        let title = self.0.code.title();
        let told = language.of([&title, &self.0.detail].into_iter().chain(fields.iter().map(|f| &f.message))).clone();
        let wire = ProblemBody {
            r#type: format!("urn:mainstay:problem:{}", self.0.name),
            title: language.say(&title),
            status: self.0.code.status(),
            detail: language.say(&self.0.detail),
            instance: path,
            code: self.0.name,
            request_id,
            errors,
        };
        // Most have room in it.
        let mut bytes = Vec::with_capacity(1024);
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut bytes, &wire);
        let mut response = Response::new(Body::new(bytes));
        *response.status_mut() = http::StatusCode::from_u16(self.0.code.status()).unwrap_or_default();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(CONTENT_LANGUAGE, told);
        // What was wrong a moment ago may be right now, and it quotes the caller.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-language"));
        let wait = self.0.retry_after.or((self.0.code == Code::Unavailable).then_some(Duration::from_secs(1)));
        if let Some(wait) = wait {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        for (name, value) in self.0.headers {
            response.headers_mut().append(name, value);
        }
        // Every 401 carries a challenge (RFC 9110 section 15.5.2), those of a domain's own errors too.
        if self.0.code == Code::Unauthenticated && !response.headers().contains_key(WWW_AUTHENTICATE) {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mainstay\""));
        }
        response
    }
}

/// What can be wrong with a request before a handler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The body is not JSON.
    MalformedJson {
        /// Where it breaks.
        what: Text,
    },
    /// A name stands twice.
    RepeatedField {
        /// The name.
        name: String,
        /// Whether it is a parameter of the query, not a field of the body.
        is_parameter: bool,
    },
    /// The query string cannot be read.
    MalformedQuery,
    /// A header that must be single is not, or is not readable.
    BadHeader {
        /// Its name.
        name: &'static str,
    },
    /// `Host` names no host, or another than the target.
    BadHost,
    /// It says in no one way where its body ends.
    BadFraming,
    /// Its head cannot be read.
    Unreadable,
    /// Values are not acceptable: all of them.
    Invalid(Invalid),
    /// No such path.
    NoRoute,
    /// The path is there, but not with this method.
    NoMethod {
        /// Those it has.
        allow: String,
    },
    /// The client took too long.
    TooSlow,
    /// The connection broke while the body arrived.
    BodyBroken,
    /// Larger than allowed.
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The workers are behind, or the bodies of all requests hold as much memory as they may.
    Overloaded,
    /// A precondition is stated that the operation cannot hold.
    PreconditionNotSupported {
        /// The header that states it.
        header: &'static str,
    },
    /// Not JSON by its own word.
    MediaType,
    /// Compressed, or coded in another way.
    ContentCoding,
    /// The header section is larger than allowed.
    HeadersTooLarge,
    /// The handler did not finish in time.
    Deadline,
    /// The handler panicked.
    Panicked,
    /// The `Idempotency-Key` is not one.
    BadKey,
    /// Another request with this `Idempotency-Key` is being answered.
    KeyInUse,
    /// The `Idempotency-Key` was used for something else.
    KeyReused,
    /// A wire value could not be made; a bug in the server.
    Unwritable,
}

impl RequestError {
    const DOCS: [ErrorDoc; 20] = [
        doc(Code::Malformed, "malformed_json", "The body is not JSON."),
        doc(Code::Malformed, "repeated_field", "A field or parameter stands twice."),
        doc(Code::Malformed, "malformed_query", "The query string cannot be read."),
        doc(Code::Malformed, "malformed_request", "The request cannot be read as HTTP."),
        doc(Code::Malformed, "bad_header", "A header stands twice or cannot be read."),
        doc(Code::Malformed, "bad_idempotency_key", "The `Idempotency-Key` is not one."),
        doc(Code::Malformed, "body_broken", "The connection broke while the body arrived."),
        doc(Code::NotFound, "route_not_found", "There is nothing at this path."),
        doc(Code::MethodNotAllowed, "method_not_allowed", "The path does not take this method."),
        doc(Code::RequestTimeout, "request_timeout", "The request took too long to arrive."),
        doc(
            Code::Conflict,
            "idempotency_key_in_use",
            "A request with this `Idempotency-Key` is being answered; try again for its answer.",
        ),
        doc(
            Code::PreconditionFailed,
            "precondition_not_supported",
            "The request states a precondition that this operation cannot hold.",
        ),
        doc(Code::TooLarge, "body_too_large", "The body is larger than allowed."),
        doc(
            Code::UnsupportedMediaType,
            "unsupported_media_type",
            "The body must be `application/json`, and not compressed.",
        ),
        Invalid::DOC,
        doc(Code::Invalid, "idempotency_key_reused", "The `Idempotency-Key` was used with another body."),
        doc(Code::HeadersTooLarge, "headers_too_large", "The header section is larger than allowed."),
        doc(Code::Internal, "internal", "A fault of the server."),
        doc(Code::Unavailable, "deadline_exceeded", "The answer was not ready in time; try again."),
        doc(Code::Unavailable, "overloaded", "The server has no room for this now; try again."),
    ];

    /// The documentation of the failure with this stable name.
    pub(crate) fn doc(name: &str) -> Option<ErrorDoc> {
        Self::DOCS.into_iter().find(|d| d.name == name)
    }
}

const fn doc(code: Code, name: &'static str, meaning: &'static str) -> ErrorDoc {
    ErrorDoc { code, name, meaning }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl std::error::Error for RequestError {}

impl ApiError for RequestError {
    fn code(&self) -> Code {
        Self::doc(self.name()).map_or(Code::Internal, |d| d.code)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::MalformedJson { .. } => "malformed_json",
            Self::RepeatedField { .. } => "repeated_field",
            Self::MalformedQuery => "malformed_query",
            Self::BadHeader { .. } | Self::BadHost => "bad_header",
            Self::BadFraming | Self::Unreadable => "malformed_request",
            Self::Invalid(refused) => refused.name(),
            Self::NoRoute => "route_not_found",
            Self::NoMethod { .. } => "method_not_allowed",
            Self::TooSlow => "request_timeout",
            Self::BodyBroken => "body_broken",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::PreconditionNotSupported { .. } => "precondition_not_supported",
            Self::MediaType | Self::ContentCoding => "unsupported_media_type",
            Self::Overloaded => "overloaded",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Deadline => "deadline_exceeded",
            Self::BadKey => "bad_idempotency_key",
            Self::KeyInUse => "idempotency_key_in_use",
            Self::KeyReused => "idempotency_key_reused",
            Self::Panicked | Self::Unwritable => "internal",
        }
    }

    fn message(&self) -> Text {
        match self {
            Self::MalformedJson { what } => text!("The body is not JSON: {what}.", what = what.clone()),
            Self::RepeatedField { name, is_parameter: false } => {
                text!("The field `{name}` stands twice. Send it once.", name)
            }
            Self::RepeatedField { name, is_parameter: true } => {
                text!("The parameter `{name}` stands twice. Send it once.", name)
            }
            Self::MalformedQuery => text!("The query string is not valid: percent-encode it as UTF-8."),
            Self::BadHeader { name } => text!("The header `{name}` must stand once and be plain text.", name = *name),
            Self::BadHost => text!(
                "The header `Host` must name the host that is asked, and no other than the target does: `api.example.com:8080`."
            ),
            Self::BadFraming => {
                text!("Say the length of the body once: by `Content-Length`, or by `Transfer-Encoding: chunked` alone.")
            }
            Self::Unreadable => {
                text!("The request line or a header is not as HTTP wants it. Send it as RFC 9112 says.")
            }
            Self::Invalid(refused) => refused.message(),
            Self::NoRoute => text!("There is nothing at this path. `/openapi.json` lists what there is."),
            Self::NoMethod { allow } => text!("This path takes {allow}.", allow),
            Self::TooSlow => text!("The request did not arrive in time."),
            Self::BodyBroken => text!("The body ended early."),
            Self::BodyTooLarge { limit } => text!("The body is larger than {limit} bytes.", limit = *limit),
            Self::Overloaded => text!("The server has no room for this now. Try again."),
            Self::PreconditionNotSupported { header } => text!(
                "This operation cannot hold the precondition that `{header}` states, so nothing was done. Send it without.",
                header = *header
            ),
            Self::MediaType => text!("Send the body as `Content-Type: application/json`."),
            Self::ContentCoding => text!("Send the body as it is, without `Content-Encoding`."),
            Self::HeadersTooLarge => {
                text!("The headers are larger than this server reads. Send fewer or shorter ones.")
            }
            Self::Deadline => text!("The answer was not ready in time. Try again."),
            Self::BadKey => {
                text!("`Idempotency-Key` takes 1 to 255 visible characters of ASCII, in double quotes or without any.")
            }
            Self::KeyInUse => {
                text!("A request with this `Idempotency-Key` is being answered. Send it again in a moment.")
            }
            Self::KeyReused => {
                text!("This `Idempotency-Key` was used with another body or query. Take a new key for a new request.")
            }
            Self::Panicked | Self::Unwritable => {
                text!("Something went wrong on our side. Quote the request id when you report it.")
            }
        }
    }

    fn fields(&self) -> &[FieldError] {
        match self {
            Self::Invalid(refused) => refused.fields(),
            _ => &[],
        }
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        out.extend(Self::DOCS);
    }
}
