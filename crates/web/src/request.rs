use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{AsHeaderName, HeaderMap};
use http::request::Parts;
use kernel::{Ctx, Identity};

use crate::body_memory::{BodyPlace, SMALL};
use crate::{Api, Problem, RequestBody, RequestError, Security};

/// A request on its way into a handler: what the arguments of an endpoint are taken from.
#[derive(Debug)]
pub struct Request {
    pub(crate) parts: Arc<Parts>,
    pub(crate) body: Option<RequestBody>,
    /// Where the memory of a large body is noted.
    pub(crate) place: Option<BodyPlace>,
    /// What the operation takes at most; none where its schema has no end.
    pub(crate) most_bytes: Option<usize>,
    pub(crate) params: Vec<(Arc<str>, String)>,
    pub(crate) next_param: usize,
    pub(crate) ctx: Ctx,
    pub(crate) authenticated: Option<Identity>,
    /// Who may call the operation; none where it does not look.
    pub(crate) security: Option<Security>,
    pub(crate) api: Arc<Api>,
}

impl Request {
    /// The operation's context.
    pub const fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// How the operation is secured; none where it does not look who calls.
    pub const fn security(&self) -> Option<Security> {
        self.security
    }

    /// Everything assembled: settings and services.
    pub const fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query string, without its question mark.
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or("")
    }

    /// A header as text.
    ///
    /// # Errors
    /// When it stands twice or is not visible ASCII.
    pub fn header(&self, name: impl AsHeaderName, shown: &'static str) -> Result<Option<&str>, RequestError> {
        let mut values = self.parts.headers.get_all(name).iter();
        let first =
            values.next().map(|v| v.to_str().map_err(|_| RequestError::BadHeader { name: shown })).transpose()?;
        if values.next().is_some() { Err(RequestError::BadHeader { name: shown }) } else { Ok(first) }
    }

    /// The next parameter of the path, in order: its name and its decoded text.
    ///
    /// # Errors
    /// When the text is not UTF-8 once decoded.
    pub fn next_path_param(&mut self) -> Result<(Arc<str>, Cow<'_, str>), RequestError> {
        let (name, raw) = self.params.get(self.next_param).ok_or(RequestError::NoRoute)?;
        self.next_param += 1;
        let text = percent_encoding::percent_decode_str(raw).decode_utf8().map_err(|_| RequestError::NoRoute)?;
        Ok((name.clone(), text))
    }

    /// The whole body. A second call gets an empty one. Where it had to be waited for, who calls is proved once more: the
    /// session may have ended meanwhile. (What writes proves it again inside its transaction; this is for what only reads.)
    ///
    /// # Errors
    /// When it is too large for this server or this operation, too slow, broken off, or there is no memory for it; or when
    /// the caller's session ended while it arrived.
    pub async fn read_body(&mut self) -> Result<Bytes, Problem> {
        let Some(body) = self.body.take() else { return Ok(Bytes::new()) };
        let settings = self.api.settings();
        let plain = settings.max_body_bytes;
        let limit = self.most_bytes.map_or(plain, |most| longest(most, plain, settings.body_memory_bytes));
        let (bytes, has_waited) = {
            let mut read = pin!(body.read(limit, self.ctx.deadline(), &self.api.body_memory, self.place.as_ref()));
            let first = poll_fn(|cx| match read.as_mut().poll(cx) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => Poll::Ready(None),
            });
            match first.await {
                Some(read) => (read?, false),
                None => (read.await?, true),
            }
        };
        if bytes.len() > plain && unescaped_len(&bytes) > plain {
            return Err(RequestError::BodyTooLarge { limit: plain }.into());
        }
        if has_waited {
            self.authenticate_again().await?;
        }
        Ok(bytes)
    }
}

/// How many bytes the body of an operation may have that takes `most` by its schema. Where the server takes `plain` bytes of
/// text, it takes them in their longest writing too, six for one, as long as there is the memory: how a client's library
/// writes a character is not what it sends.
fn longest(most: usize, plain: usize, memory: usize) -> usize {
    let escaped = plain.saturating_mul(ESCAPE).min(memory).max(plain);
    most.max(SMALL).min(escaped)
}

/// `\u0061`.
const ESCAPE: usize = 6;

/// How long it would be with every escape of a character (RFC 8259 section 7) written as the character. Only what is JSON
/// is meant to be measured so; of anything else it is no more than a number.
fn unescaped_len(json: &[u8]) -> usize {
    let mut saved = 0;
    let mut rest = json;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let escape = &rest[at..];
        let unit = escape.strip_prefix(b"\\u").and_then(|hex| hex.get(..4)).and_then(|hex| str::from_utf8(hex).ok());
        let (taken, character) = match unit.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            Some(0..0x80) => (ESCAPE, 1),
            Some(0x80..0x800) => (ESCAPE, 2),
            // Of a pair, which stands for four bytes, each half for two.
            Some(0xd800..0xe000) => (ESCAPE, 2),
            Some(_) => (ESCAPE, 3),
            None => (2, 1),
        };
        saved += taken - character;
        rest = escape.get(taken..).unwrap_or_default();
    }
    json.len().saturating_sub(saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_counts_as_what_it_stands_for() {
        for (json, text) in [
            (r#""plain""#, r#""plain""#),
            (r#""\u0061\u00e9\uac00\ud83d\ude00""#, r#""aé가😀""#),
            (r#""\n\"\\u0061""#, "\"\n\"\\u0061\""),
            (r#""\\\u0061""#, "\"\\a\""),
        ] {
            assert_eq!(unescaped_len(json.as_bytes()), text.len(), "{json}");
        }
        for broken in ["\\", "\\u", "\\u00", "\\ué", "a\\u+061"] {
            assert!(unescaped_len(broken.as_bytes()) <= broken.len(), "{broken}");
        }
    }

    #[test]
    fn the_schema_decides_within_what_the_server_takes() {
        const MIB: usize = 1024 * 1024;
        for (most, limit) in [
            (100, SMALL),
            (100_000, 100_000),
            (MIB, MIB),
            (2 * MIB, 2 * MIB),
            (20 * MIB, 6 * MIB),
            (usize::MAX, 6 * MIB),
        ] {
            assert_eq!(longest(most, MIB, 64 * MIB), limit, "{most}");
        }
        // There is memory for one, or hardly.
        assert_eq!(longest(20 * MIB, MIB, 2 * MIB), 2 * MIB);
        assert_eq!(longest(20 * MIB, MIB, MIB / 2), MIB);
    }
}
