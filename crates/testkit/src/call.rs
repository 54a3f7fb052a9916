use std::fmt::Display;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use serde::Serialize;
use web::{Api, RequestBody};

use crate::Response;
use crate::openapi_check::{Contract, decoded};

/// A request in the making. Awaiting it sends it, in process.
#[derive(Debug)]
pub struct Call {
    api: Arc<Api>,
    contract: Arc<Contract>,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    peer: Option<SocketAddr>,
}

impl Call {
    pub(crate) fn new(api: Arc<Api>, contract: Arc<Contract>, method: Method, path: &str) -> Self {
        Self { api, contract, method, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new(), peer: None }
    }

    /// As if it came over a connection from there.
    #[must_use]
    pub const fn from(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// With an access token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// With one more header; a second one of the same name stands beside the first.
    ///
    /// # Panics
    /// When it cannot stand in a request.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        let key = HeaderName::try_from(name).unwrap_or_else(|_| panic!("`{name}` cannot be a header's name"));
        let value = HeaderValue::try_from(value).unwrap_or_else(|_| panic!("the value of `{name}` cannot be sent"));
        self.headers.append(key, value);
        self
    }

    /// With a JSON body.
    ///
    /// # Panics
    /// When the value cannot be written.
    #[must_use]
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        let bytes = serde_json::to_vec(value).unwrap_or_else(|error| panic!("the body cannot be written: {error}"));
        self.body("application/json", bytes)
    }

    /// With a body as it stands, such as broken JSON.
    #[must_use]
    pub fn body(mut self, content_type: &str, bytes: impl Into<Bytes>) -> Self {
        self.body = bytes.into();
        self.headers.remove(CONTENT_TYPE);
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// Sends it; the same as awaiting it.
    ///
    /// # Panics
    /// When the path cannot be sent, or the answer is not what the app's document says.
    pub async fn send(self) -> Response {
        let uri: Uri = self.path.parse().unwrap_or_else(|_| panic!("`{}` cannot be a path", self.path));
        let path = uri.path().to_owned();
        let sent = format!("{} {}", decoded(self.path.as_bytes()), decoded(&self.body));
        let mut request = http::Request::new(RequestBody::Whole(self.body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        let response = match self.peer {
            Some(peer) => self.api.handle_from(peer, request).await,
            None => self.api.handle(request).await,
        };
        let (parts, body) = response.into_parts();
        let body = body.bytes().cloned().unwrap_or_default();
        let response =
            Response::new(format!("{} {}", self.method, self.path), parts.status.as_u16(), parts.headers, body);
        self.contract.check(&self.method, &path, &sent, &response);
        response
    }
}

impl IntoFuture for Call {
    type Output = Response;
    type IntoFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
