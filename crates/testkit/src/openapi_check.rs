//! What is held of every answer, whatever the test that got it is about.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use kernel::{RequestPart, ValidationErrors};
use serde_json::Value;
use web::{Api, JsonValidator};

use crate::Response;

/// Words that only our own sources use: a Rust path, SQL, a file.
const INSIDES: [&str; 7] = ["::", "SELECT ", "INSERT ", "UPDATE ", "sqlite", "postgres", ".rs"];

/// The app's own document, as a judge.
pub(crate) struct Contract {
    document: Value,
    /// Method in lower case, path template, its segments.
    operations: Vec<(String, String)>,
    compiled: Mutex<HashMap<String, Arc<JsonValidator>>>,
}

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contract({} operations)", self.operations.len())
    }
}

impl Contract {
    pub(crate) fn new(api: &Api) -> Self {
        let operations = api.operations().iter().map(|(method, path, _)| (method.name().to_lowercase(), path.clone()));
        Self { document: api.document_value(), operations: operations.collect(), compiled: Mutex::default() }
    }

    /// Fails the test when the answer is not what the document promises.
    pub(crate) fn check(&self, method: &Method, path: &str, sent: &str, response: &Response) {
        if let Err(error) = self.judge(method, path, sent, response) {
            panic!("{error}\n{response}");
        }
    }

    /// `sent` is what the caller wrote, decoded: it may be quoted back.
    pub(crate) fn judge(&self, method: &Method, path: &str, sent: &str, response: &Response) -> Result<(), String> {
        if response.header("x-request-id").is_none_or(str::is_empty) {
            return Err("every answer carries x-request-id; this one does not".to_owned());
        }
        if response.status() >= 400 && method != Method::HEAD {
            check_problem(path, sent, response)?;
        }
        // HEAD is answered by GET's operation, without its body.
        let wanted = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
        let Some((_, template)) = self.operations.iter().find(|(m, t)| *m == wanted && fits(t, path)) else {
            return Ok(());
        };
        let responses = &self.document["paths"][template][&wanted]["responses"];
        let status = response.status().to_string();
        let Some(described) = responses.get(&status) else {
            let known: Vec<_> = responses.as_object().map(|r| r.keys().collect()).unwrap_or_default();
            return Err(format!("the document of {wanted} {template} has {known:?}, but this answer is {status}"));
        };
        let Some((kind, content)) = described["content"].as_object().and_then(|content| content.iter().next()) else {
            return if response.bytes().is_empty() {
                Ok(())
            } else {
                Err("the document says there is no body".to_owned())
            };
        };
        if method == Method::HEAD {
            return Ok(());
        }
        if response.header("content-type") != Some(kind) {
            return Err(format!("the document says the body is {kind}"));
        }
        if !kind.ends_with("json") {
            return Ok(());
        }
        let body: Value =
            serde_json::from_slice(response.bytes()).map_err(|error| format!("the body is not JSON: {error}"))?;
        let validator = self.validator(&format!("{wanted} {template} {status}"), &content["schema"])?;
        let mut errors = ValidationErrors::new();
        validator.errors(&body, RequestPart::Body, &mut errors);
        match errors.into_sorted().first() {
            None => Ok(()),
            Some(error) => Err(format!("the body is not what the document says: {} {}", error.pointer, error.message)),
        }
    }

    fn validator(&self, name: &str, schema: &Value) -> Result<Arc<JsonValidator>, String> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(name) {
            return Ok(known.clone());
        }
        let mut whole = schema.clone();
        // References point into the document's components.
        whole["components"] = self.document["components"].clone();
        let made =
            JsonValidator::new(whole).map_err(|error| format!("the document's schema cannot be used: {error}"))?;
        Ok(compiled.entry(name.to_owned()).or_insert_with(|| Arc::new(made)).clone())
    }
}

/// RFC 9457, and what docs/errors.md promises besides.
fn check_problem(path: &str, sent: &str, response: &Response) -> Result<(), String> {
    if response.header("content-type") != Some("application/problem+json") {
        return Err("a failure is told as application/problem+json; this one is not".to_owned());
    }
    if response.header("cache-control") != Some("no-store") {
        return Err("a problem is kept by nobody; this one lacks `Cache-Control: no-store`".to_owned());
    }
    let body: Value =
        serde_json::from_slice(response.bytes()).map_err(|error| format!("the problem is not JSON: {error}"))?;
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    for name in ["type", "title", "detail", "code", "request_id"] {
        if text(name).is_none() {
            return Err(format!("the problem says no `{name}`"));
        }
    }
    if body["status"] != response.status() {
        return Err("the problem's status is not the answer's".to_owned());
    }
    if text("request_id") != response.header("x-request-id") {
        return Err("the problem's request_id is not the header's".to_owned());
    }
    if text("instance") != Some(path) {
        return Err("the problem's instance is not the path that was asked for".to_owned());
    }
    let needs = match response.status() {
        401 => Some("www-authenticate"),
        405 => Some("allow"),
        429 | 503 => Some("retry-after"),
        _ => None,
    };
    if let Some(missing) = needs.filter(|name| response.header(name).is_none()) {
        return Err(format!("a {} carries {missing}; this one does not", response.status()));
    }
    let words = [text("title"), text("detail")].into_iter().flatten();
    if let Some(word) = words.filter_map(|text| insides(text, sent)).next() {
        return Err(format!("the problem tells the caller of our insides: `{word}`"));
    }
    Ok(())
}

/// A word of our sources in a text that is not one of the caller's own.
fn insides(text: &str, sent: &str) -> Option<&'static str> {
    INSIDES.into_iter().find(|word| text.contains(word) && !sent.contains(word))
}

/// A target or a body as its reader understands it: percent-encoded bytes are what they stand for.
pub(crate) fn decoded(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let encoded = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        match encoded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a path is one of a template's.
fn fits(template: &str, path: &str) -> bool {
    let (wanted, given) = (template.split('/'), path.split('/'));
    wanted.clone().count() == given.clone().count()
        && wanted.zip(given).all(|(wanted, given)| wanted == given || (wanted.starts_with('{') && !given.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_wrote_is_no_secret() {
        let quoted = "The parameter `a.rs` stands twice.";
        assert_eq!(insides(quoted, ""), Some(".rs"));
        assert_eq!(insides(quoted, &decoded(b"/a?a%2Ers=1&a.rs=2")), None);
        assert_eq!(insides("at src/a.rs of std::io", "a.rs"), Some("::"));
        assert_eq!(decoded(b"%41%4%zz%"), "A%4%zz%");
    }

    #[test]
    fn a_path_fits_its_template() {
        assert!(fits("/a/{id}", "/a/1") && fits("/a", "/a"));
        assert!(!fits("/a/{id}", "/a/") && !fits("/a/{id}", "/a/1/b") && !fits("/a/b", "/a/c"));
    }
}
