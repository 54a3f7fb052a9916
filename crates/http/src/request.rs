use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http_types::header::{AsHeaderName, HeaderMap};
use http_types::request::Parts;
use kernel::{Ctx, Identity};

use crate::bodies::{Place, SMALL};
use crate::{Api, Problem, RequestBody, RequestError, Security};

/// A request on its way into a handler: what the arguments of an endpoint are taken from.
#[derive(Debug)]
pub struct Request {
    pub(crate) parts: Arc<Parts>,
    pub(crate) body: Option<RequestBody>,
    /// Where the memory of a large body is noted.
    pub(crate) place: Option<Place>,
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
        let limit = self.api.settings().max_body_bytes;
        let limit = self.most_bytes.map_or(limit, |most| most.max(SMALL).min(limit));
        let (bytes, has_waited) = {
            let mut read = pin!(body.read(limit, self.ctx.deadline(), &self.api.bodies, self.place.as_ref()));
            let first = poll_fn(|cx| match read.as_mut().poll(cx) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => Poll::Ready(None),
            });
            match first.await {
                Some(read) => (read?, false),
                None => (read.await?, true),
            }
        };
        if has_waited {
            self.authenticate_again().await?;
        }
        Ok(bytes)
    }
}
