//! Heads that cannot be read. hyper answers them by itself, before any of our code sees a request, and says no more than a
//! status; `Guarded` puts a problem in the place of that, as every failure is one.

use std::ops::Range;

use http::header::{CONNECTION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::{Api, Problem, RequestError};

/// How hyper's answer begins after its version, and what the problem says. The raw answers of a socket are held against
/// this by `heads_that_cannot_be_read_are_answered_with_a_problem` in crates/mainstay/tests/it/heads.rs.
const STATUSES: [(&[u8], RequestError); 3] = [
    (b" 400 Bad Request\r\n", RequestError::Unreadable),
    (b" 414 URI Too Long\r\n", RequestError::HeadersTooLarge),
    (b" 431 Request Header Fields Too Large\r\n", RequestError::HeadersTooLarge),
];
/// How it goes on, with HTTP/1.1 and with HTTP/1.0.
const HEADERS: [&[u8]; 2] = [b"connection: close\r\ncontent-length: 0\r\ndate: ", b"content-length: 0\r\ndate: "];
const VERSION: usize = b"HTTP/1.1".len();
/// RFC 9110 section 5.6.7.
const DATE: usize = b"Sun, 06 Nov 1994 08:49:37 GMT".len();
const END: &[u8] = b"\r\n\r\n";

/// hyper's own answer.
pub(crate) struct Bare {
    at: usize,
    date: Range<usize>,
    error: RequestError,
}

/// hyper's own answer at the end of what it writes, where it always stands: it closes after it.
pub(crate) fn find(bytes: &[u8]) -> Option<Bare> {
    let dated = bytes.strip_suffix(END)?.len();
    for (status, error) in STATUSES {
        for headers in HEADERS {
            let Some(at) = dated.checked_sub(VERSION + status.len() + headers.len() + DATE) else { continue };
            let (version, rest) = bytes[at..].split_at(VERSION);
            if version.starts_with(b"HTTP/1.")
                && rest.strip_prefix(status).is_some_and(|rest| rest.starts_with(headers))
            {
                return Some(Bare { at, date: dated - DATE..dated, error });
            }
        }
    }
    None
}

impl Api {
    /// What is written instead of `bytes`, which end in hyper's own answer. Nothing is known of what was asked: the problem
    /// is of the server as a whole, in English.
    pub(crate) fn unreadable(&self, bytes: &[u8], bare: Bare) -> Vec<u8> {
        let (request_id, nothing) = (self.new_request_id(), HeaderMap::new());
        let problem = Problem::from(bare.error).with_header(CONNECTION, HeaderValue::from_static("close"));
        tracing::debug!(target: "mainstay::problem", code = problem.name(), %request_id, "a head could not be read");
        let mut response = problem.into_response("*", &request_id, self.languages.choose(&nothing));
        self.finish(&Method::GET, &nothing, &request_id, None, &mut response);
        tracing::info!(
            target: "mainstay::access",
            method = "",
            path = "*",
            status = response.status().as_u16(),
            duration_us = 0,
            request_id = &*request_id,
        );
        write(bytes, bare.at, &bytes[bare.date], &response)
    }
}

fn write(bytes: &[u8], at: usize, date: &[u8], response: &crate::Response) -> Vec<u8> {
    let status: StatusCode = response.status();
    let body = response.body().bytes().map(|bytes| &bytes[..]).unwrap_or_default();
    let mut out = bytes[..at].to_vec();
    let mut line = |parts: [&[u8]; 4]| {
        parts.into_iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    };
    line([b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", status.canonical_reason().unwrap_or_default().as_bytes()]);
    for (name, value) in response.headers() {
        line([name.as_str().as_bytes(), b": ", value.as_bytes(), b""]);
    }
    line([b"content-length: ", body.len().to_string().as_bytes(), b"", b""]);
    line([b"date: ", date, b"", b""]);
    line([b"", b"", b"", b""]);
    out.extend_from_slice(body);
    out
}
