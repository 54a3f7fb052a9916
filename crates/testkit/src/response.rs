use std::fmt::{self, Write};

use bytes::Bytes;
use http::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::redact;

/// An answer, whole, with what tests ask of it. What is not as expected fails the test and shows the answer.
#[derive(Clone)]
pub struct Response {
    request: String,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    body: Bytes,
}

impl Response {
    pub(crate) const fn new(request: String, status: u16, headers: HeaderMap, body: Bytes) -> Self {
        Self { request, status, headers, body }
    }

    /// Its status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Its headers.
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header as text, the first of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its body as it came.
    pub const fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.json_as()
    }

    /// Its body as a type.
    ///
    /// # Panics
    /// When it cannot be read as one.
    #[track_caller]
    pub fn json_as<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("the body cannot be read: {error}\n{self}"))
    }

    /// The problem's stable name, if it is a problem.
    pub fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body["code"].as_str()?.to_owned())
    }

    /// The errors of an invalid request: where each is, and which rule it breaks.
    pub fn errors(&self) -> Vec<(String, String)> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
    }

    /// Goes on with an answer of this status.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "expected {status}, but got\n{self}");
        self
    }

    /// Goes on with an answer that says it was done.
    ///
    /// # Panics
    /// When it says something else.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!((200..300).contains(&self.status), "expected a success, but got\n{self}");
        self
    }

    /// Goes on with a problem of this status and stable name.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let is_so = self.status == status && self.code().as_deref() == Some(code);
        assert!(is_so, "expected {status} `{code}`, but got\n{self}");
        self
    }

    /// Goes on with an invalid request that has exactly these errors: pointer and rule, in any order.
    ///
    /// # Panics
    /// When it is something else, or has others.
    #[track_caller]
    pub fn expect_field_errors(self, errors: &[(&str, &str)]) -> Self {
        let response = self.expect_problem(422, "invalid_request");
        let mut expected: Vec<_> = errors.iter().map(|(p, c)| ((*p).to_owned(), (*c).to_owned())).collect();
        let mut found = response.errors();
        expected.sort();
        found.sort();
        assert!(expected == found, "expected the errors {expected:?}, but got {found:?}\n{response}");
        response
    }

    /// Status, telling headers and body for a snapshot. What differs from run to run is checked for its form and
    /// replaced: see [`redact`].
    ///
    /// # Panics
    /// When an id, a time or a token is malformed.
    #[track_caller]
    pub fn snapshot(&self) -> String {
        let mut text = self.status.to_string();
        for name in ["location", "www-authenticate", "retry-after", "allow", "content-type"] {
            for value in self.headers.get_all(name) {
                let value = redact::text(&String::from_utf8_lossy(value.as_bytes()));
                // Writing to a string cannot fail.
                let _ = write!(text, "\n{name}: {value}");
            }
        }
        if !self.body.is_empty() {
            let body = match serde_json::from_slice(&self.body) {
                Ok(value) => format!("{:#}", redact(&value)),
                Err(_) => self.text(),
            };
            let _ = write!(text, "\n\n{body}");
        }
        text
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n→ {}", self.request, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
