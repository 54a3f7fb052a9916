use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use web::{Api, Server, ServerHandle};

use crate::Response;

/// Longer than any of the server's own bounds in a test: a longer wait is a bug.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An app behind a real socket. It stops when this is dropped.
#[derive(Debug)]
pub struct Served {
    handle: ServerHandle,
}

impl Served {
    pub(crate) fn start(api: Arc<Api>) -> Self {
        let server = Server::bind(api).unwrap_or_else(|error| panic!("no port could be had: {error}"));
        Self { handle: server.spawn() }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect(&self) -> RawHttp {
        let stream = TcpStream::connect(self.address()).await.unwrap_or_else(|error| panic!("no connection: {error}"));
        RawHttp { stream, buffer: Vec::new() }
    }

    /// Drains and stops it.
    pub async fn stop(self) {
        self.handle.stop().await;
    }
}

/// A connection on which a test says exactly what it likes, byte by byte.
#[derive(Debug)]
pub struct RawHttp {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RawHttp {
    /// Sends bytes as they stand.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .await
            .unwrap_or_else(|error| panic!("the bytes could not be sent: {error}"));
    }

    /// Sends nothing more; the other side sees the end.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap_or_else(|error| panic!("the end could not be sent: {error}"));
    }

    /// Reads the next answer of HTTP/1.1, to a request that was not HEAD. Informational ones (1xx) are passed over.
    ///
    /// # Panics
    /// When the connection ends before one is whole, or it is not HTTP.
    pub async fn receive(&mut self) -> Response {
        loop {
            let (status, headers) = self.head().await;
            if status == 204 || status == 304 {
                return Response::new("on the wire".to_owned(), status, headers, Bytes::new());
            }
            if status >= 200 {
                let body = self.body(&headers).await;
                return Response::new("on the wire".to_owned(), status, headers, body.into());
            }
        }
    }

    /// Reads status and headers of the next answer, and leaves its body where it is.
    ///
    /// # Panics
    /// When the connection ends before, or it is not HTTP.
    pub async fn head(&mut self) -> (u16, HeaderMap) {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            assert!(self.more().await, "the connection ended within a head: {}", self.seen());
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not HTTP/1: {head}"));
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line}"));
            let name = HeaderName::try_from(name).unwrap_or_else(|_| panic!("not a header: {line}"));
            let value = HeaderValue::try_from(value.trim()).unwrap_or_else(|_| panic!("not a header: {line}"));
            headers.append(name, value);
        }
        (status, headers)
    }

    /// Everything until the other side closes.
    ///
    /// # Panics
    /// When it does not close.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the other side closes the connection within this time, having sent nothing more.
    pub async fn is_closed_within(&mut self, span: Duration) -> bool {
        matches!(timeout(span, self.more()).await, Ok(false)) && self.buffer.is_empty()
    }

    async fn body(&mut self, headers: &HeaderMap) -> Vec<u8> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            let mut body = Vec::new();
            loop {
                let size = self.line().await;
                let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                    .unwrap_or_else(|_| panic!("not a chunk's size: {size}"));
                let chunk = self.take(size).await;
                body.extend(chunk);
                assert!(self.line().await.is_empty(), "a chunk ends with its line");
                if size == 0 {
                    return body;
                }
            }
        }
        match text("content-length") {
            Some(length) => {
                let length = length.parse().unwrap_or_else(|_| panic!("not a length: {length}"));
                self.take(length).await
            }
            None => self.rest().await,
        }
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return line;
            }
            assert!(self.more().await, "the connection ended within a line: {}", self.seen());
        }
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.more().await, "the connection ended within a body: {}", self.seen());
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads what is there, waiting for something; whether there was more. A reset is an end too.
    async fn more(&mut self) -> bool {
        let read = timeout(TIMEOUT, self.stream.read_buf(&mut self.buffer)).await;
        read.unwrap_or_else(|_| panic!("the server neither answers nor closes")).is_ok_and(|count| count > 0)
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
