//! Conditional requests (RFC 9110 section 13).

use std::fmt;

use crate::hex::DIGITS;
use crate::{Input, Operation, Parameter, Problem, Request, RequestError, Service};
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::request::Parts;
use kernel::{ApiError, Code, ErrorDoc, RequestPart, Text, text};
use serde_json::json;
use siphasher::sip128::SipHasher13;

/// Makes the entity tags of an app: 96 bits of a keyed hash over a representation's bytes (SipHash-1-3, Aumasson
/// and Bernstein 2012), so that equal answers have equal tags without a version column. Without the key nobody can find two
/// representations that have one tag. All nodes of a deployment need the same key. A handler takes it as an argument.
#[derive(Clone, Copy)]
pub struct ETags(SipHasher13);

impl ETags {
    /// With a key, as [`SecretKey::derive`](kernel::SecretKey::derive) gives one for each purpose.
    pub fn new(key: [u8; 32]) -> Self {
        // Half of it is all that the hash takes.
        let key = key.first_chunk().unwrap_or(&[0; 16]);
        Self(SipHasher13::new_with_key(key))
    }

    /// The tag of these bytes.
    pub fn of(&self, bytes: &[u8]) -> ETag {
        let hash = self.0.hash(bytes).as_bytes();
        let mut text = [b'"'; 26];
        for (digits, byte) in text[1..25].as_chunks_mut::<2>().0.iter_mut().zip(&hash) {
            *digits = [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)]);
        }
        ETag(text)
    }
}

impl Service for ETags {}

impl fmt::Debug for ETags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ETags(••••••••)")
    }
}

/// A strong entity tag (RFC 9110 section 8.8.3), made by [`ETags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag([u8; 26]);

impl ETag {
    /// The tag with its quotes.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn to_header(self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.0).ok()
    }
}

/// A compressed answer is another representation and needs a tag of its own (RFC 9110 section 8.8.3.3): the encoding is
/// appended on the way out and taken off on the way in.
pub(crate) const ENCODED_SUFFIXES: [&str; 2] = ["-gzip", "-zstd"];

fn uncoded(tag: &str) -> String {
    let coded = tag.strip_suffix('"').and_then(|tag| ENCODED_SUFFIXES.iter().find_map(|end| tag.strip_suffix(end)));
    coded.map_or_else(|| tag.to_owned(), |tag| format!("{tag}\""))
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let mut found = None;
    for value in headers.get_all(name) {
        let list = found.get_or_insert_with(Vec::new);
        list.extend(value.to_str().unwrap_or("").split(',').map(|tag| uncoded(tag.trim())));
    }
    found
}

/// Whether `If-None-Match` says that the client has this already, in whichever coding (weak comparison).
pub(crate) fn none_match(headers: &HeaderMap, current: &str) -> bool {
    tags(headers, IF_NONE_MATCH).is_some_and(|list| is_weakly_in(&list, &uncoded(current)))
}

fn is_weakly_in(list: &[String], current: &str) -> bool {
    list.iter().any(|t| t == "*" || t.strip_prefix("W/").unwrap_or(t) == current)
}

/// The state the client says it changes: `If-Match` and `If-None-Match`, where they were sent. An operation that takes it
/// holds both; one that does not is never called with either.
#[derive(Debug, Clone, Default)]
pub struct Precondition {
    if_match: Option<Vec<String>>,
    if_none_match: Option<Vec<String>>,
}

/// What the client had seen is not what is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl std::error::Error for Stale {}

impl ApiError for Stale {
    fn code(&self) -> Code {
        Code::PreconditionFailed
    }

    fn name(&self) -> &'static str {
        "precondition_failed"
    }

    fn message(&self) -> Text {
        text!("It has changed since you read it. Read it again, then repeat your change with its new ETag.")
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        out.push(ErrorDoc {
            code: Code::PreconditionFailed,
            name: "precondition_failed",
            meaning: "The `If-Match` header names another state than the present one.",
        });
    }
}

impl Precondition {
    /// Whether a condition was stated at all.
    pub const fn is_stated(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Whether the present state is one the client named in `If-Match` (strong comparison; `*` is any), and none that it
    /// named in `If-None-Match` (weak comparison).
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, current: &ETag) -> Result<(), Stale> {
        let current = current.as_str();
        let is_named = self.if_match.as_ref().is_none_or(|list| list.iter().any(|t| t == "*" || t == current));
        let is_excluded = self.if_none_match.as_ref().is_some_and(|list| is_weakly_in(list, current));
        if is_named && !is_excluded { Ok(()) } else { Err(Stale) }
    }
}

/// Refuses a precondition that an operation which changes something would not look at. RFC 9110 section 13.1 lets a server
/// ignore what it does not know; but a change with a condition must not be made regardless of the condition.
pub(crate) fn check_supported(request: &Parts, is_held: bool) -> Result<(), RequestError> {
    let headers = &request.headers;
    if headers.is_empty() || is_safe(&request.method) {
        return Ok(());
    }
    // A date is looked at only where no tag is stated (section 13.2.2); no operation keeps one to compare it with.
    let refused = if is_held {
        [(IF_UNMODIFIED_SINCE, "If-Unmodified-Since")]
            .into_iter()
            .find(|(name, _)| headers.contains_key(name) && !headers.contains_key(IF_MATCH))
    } else {
        [(IF_MATCH, "If-Match"), (IF_NONE_MATCH, "If-None-Match"), (IF_UNMODIFIED_SINCE, "If-Unmodified-Since")]
            .into_iter()
            .find(|(name, _)| headers.contains_key(name))
    };
    match refused {
        Some((_, header)) => Err(RequestError::PreconditionNotSupported { header }),
        None => Ok(()),
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

impl Input for Precondition {
    fn describe(op: &mut Operation<'_>) {
        op.holds_preconditions();
        op.parameter(Parameter {
            place: RequestPart::Header,
            name: "If-Match".to_owned(),
            required: false,
            description:
                "The ETag of the state you change. When it has changed meanwhile, nothing happens and 412 comes back."
                    .to_owned(),
            schema: json!({ "type": "string" }),
        });
        let mut docs = Vec::new();
        Stale::describe(&mut docs);
        docs.into_iter().for_each(|doc| op.error(doc));
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        let headers = request.headers();
        Ok(Self { if_match: tags(headers, IF_MATCH), if_none_match: tags(headers, IF_NONE_MATCH) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|v| (name.clone(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_tag_is_of_its_bytes_and_of_its_key() {
        let [one, other] = [[1; 32], [2; 32]].map(ETags::new);
        // As long as the hash's own blocks, and not.
        for bytes in [&b""[..], b"{}", &[7; 32], &[7; 1000]] {
            let tag = one.of(bytes);
            assert_eq!(tag, one.of(bytes));
            assert_ne!(tag, other.of(bytes));
            assert_ne!(tag, one.of(&[bytes, b" "].concat()));
            let digits = tag.as_str().strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap();
            assert!(digits.len() == 24 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{digits}");
        }
        assert!(!format!("{one:?}").contains('1'));
    }

    #[test]
    fn rfc_9110_section_13_1() {
        let tag = ETags::new([1; 32]).of(b"x");
        let same: &'static str = tag.as_str().to_owned().leak();
        let weak: &'static str = format!("W/{same}").leak();
        let zipped: &'static str = format!("{}-gzip\"", &same[..same.len() - 1]).leak();
        for (values, matches) in [
            (vec![same], true),
            (vec![weak], true),
            (vec!["\"a\", *"], true),
            (vec!["\"a\""], false),
            (vec!["\"a\"", same], true),
            (vec![zipped], true),
            (vec![], false),
        ] {
            for current in [same, zipped] {
                assert_eq!(none_match(&headers(IF_NONE_MATCH, &values), current), matches, "{values:?} {current}");
            }
        }
        for (values, holds) in
            [(vec![same], true), (vec![weak], false), (vec!["*"], true), (vec!["\"a\""], false), (vec![], true)]
        {
            let if_match = tags(&headers(IF_MATCH, &values), IF_MATCH);
            let precondition = Precondition { if_match, if_none_match: None };
            assert_eq!(precondition.check(&tag).is_ok(), holds, "{values:?}");
        }
        for (values, holds) in
            [(vec![same], false), (vec![weak], false), (vec!["*"], false), (vec!["\"a\""], true), (vec![], true)]
        {
            let if_none_match = tags(&headers(IF_NONE_MATCH, &values), IF_NONE_MATCH);
            let precondition = Precondition { if_match: None, if_none_match };
            assert_eq!(precondition.check(&tag).is_ok(), holds, "{values:?}");
        }
    }
}
