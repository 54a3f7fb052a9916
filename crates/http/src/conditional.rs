//! Conditional requests (RFC 9110 section 13).

use std::fmt;

use http_types::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use kernel::{ApiError, Code, ErrorDoc, Place, Text, text};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::api::DIGITS;
use crate::{Input, Operation, Parameter, Problem, Request};

/// A strong entity tag: 96 bits of SHA-256 over a representation's bytes, so that equal answers have equal tags without
/// a version column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag([u8; 26]);

impl ETag {
    /// The tag of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        let mut text = [b'"'; 26];
        for (digits, byte) in text[1..25].as_chunks_mut::<2>().0.iter_mut().zip(&hash) {
            *digits = [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)]);
        }
        Self(text)
    }

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

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let mut found = None;
    for value in headers.get_all(name) {
        let list = found.get_or_insert_with(Vec::new);
        for tag in value.to_str().unwrap_or("").split(',') {
            let mut tag = tag.trim().to_owned();
            for suffix in ENCODED_SUFFIXES {
                let end = format!("{suffix}\"");
                if tag.ends_with(&end) {
                    tag.truncate(tag.len() - end.len());
                    tag.push('"');
                }
            }
            list.push(tag);
        }
    }
    found
}

/// Whether `If-None-Match` says that the client has this already (weak comparison).
pub(crate) fn none_match(headers: &HeaderMap, current: &str) -> bool {
    tags(headers, IF_NONE_MATCH)
        .is_some_and(|list| list.iter().any(|t| t == "*" || t.strip_prefix("W/").unwrap_or(t) == current))
}

/// The state the client says it changes: `If-Match`, where it was sent.
#[derive(Debug, Clone, Default)]
pub struct Precondition(Option<Vec<String>>);

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
        self.0.is_some()
    }

    /// Whether the present state is one the client named (strong comparison; `*` is any).
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, current: &ETag) -> Result<(), Stale> {
        match &self.0 {
            Some(list) if !list.iter().any(|t| t == "*" || t == current.as_str()) => Err(Stale),
            _ => Ok(()),
        }
    }
}

impl Input for Precondition {
    fn describe(op: &mut Operation<'_>) {
        op.parameter(Parameter {
            place: Place::Header,
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
        Ok(Self(tags(request.headers(), IF_MATCH)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|v| (name.clone(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn rfc_9110_section_13_1() {
        let tag = ETag::of(b"x");
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
            assert_eq!(none_match(&headers(IF_NONE_MATCH, &values), tag.as_str()), matches, "{values:?}");
        }
        for (values, holds) in
            [(vec![same], true), (vec![weak], false), (vec!["*"], true), (vec!["\"a\""], false), (vec![], true)]
        {
            let precondition = Precondition(tags(&headers(IF_MATCH, &values), IF_MATCH));
            assert_eq!(precondition.check(&tag).is_ok(), holds, "{values:?}");
        }
    }
}
