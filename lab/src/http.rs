//! As much HTTP/1.1 as the lab speaks: one request and one answer with a `content-length`, on a connection that stays.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Time for one answer; beyond it the server counts as stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const HEAD_MOST_BYTES: usize = 64 * 1024;

/// What is asked, again and again: the paths in turn or by chance, the rest the same each time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Requests {
    /// `GET` or `POST`.
    pub method: String,
    /// One or many; the drivers draw among them by chance.
    pub paths: Vec<String>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// For `POST`.
    pub body: Option<String>,
}

impl Requests {
    /// `GET` of one path.
    pub fn get(path: &str) -> Self {
        Self { method: "GET".to_owned(), paths: vec![path.to_owned()], headers: Vec::new(), body: None }
    }

    /// `POST` of a JSON body.
    pub fn post(path: &str, body: &serde_json::Value) -> Self {
        Self {
            method: "POST".to_owned(),
            paths: vec![path.to_owned()],
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Some(body.to_string()),
        }
    }

    /// The same with other paths.
    pub fn to(mut self, paths: Vec<String>) -> Self {
        self.paths = paths;
        self
    }

    /// The same with one header more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, signed in.
    pub fn signed(mut self, token: Option<&str>) -> Self {
        self.headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
        self
    }

    /// The bytes of the request for one of the paths.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let mut text = format!("{} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n", self.method);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            text += &format!("content-length: {}\r\n\r\n{body}", body.len());
        } else {
            text += "\r\n";
        }
        text.into_bytes()
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `content-type`, lower case, without parameters; empty if there was none.
    pub content_type: String,
    /// `etag`, as it is; empty if there was none.
    pub etag: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }

    /// The beginning of the body, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

struct Head {
    bytes: usize,
    status: u16,
    content_length: usize,
    content_type: String,
    etag: String,
}

impl Head {
    /// The head at the start of `bytes`, or `None` while it is not complete.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            if bytes.len() > HEAD_MOST_BYTES {
                bail!("an answer's head has no end");
            }
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..end]).context("an answer's head is not text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.with_context(|| format!("not an answer: {}", text.lines().next().unwrap_or_default()))?;
        let (mut content_length, mut content_type, mut etag) = (None, String::new(), String::new());
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                content_length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("content-type") {
                content_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            } else if name.eq_ignore_ascii_case("etag") {
                value.trim().clone_into(&mut etag);
            }
        }
        if content_length.is_none() && status != 204 && status != 304 {
            bail!("the answer ({status}) has no content-length; the lab reads no other kind");
        }
        // A 304 tells the length of what it does not send.
        let content_length = if status == 304 { 0 } else { content_length.unwrap_or(0) };
        Ok(Some(Self { bytes: end + 4, status, content_length, content_type, etag }))
    }

    fn answer(self, buffer: &mut Vec<u8>) -> Answer {
        let end = self.bytes + self.content_length;
        let body = buffer[self.bytes..end].to_vec();
        buffer.drain(..end);
        Answer { status: self.status, content_type: self.content_type, etag: self.etag, body }
    }
}

/// A connection that is kept.
pub struct Connection {
    socket: tokio::net::TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let socket = tokio::net::TcpStream::connect(address).await.context("cannot connect")?;
        socket.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(Self { socket, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and waits for its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        tokio::time::timeout(ANSWER_WITHIN, self.exchange_unbounded(request)).await.context("no answer in time")?
    }

    async fn exchange_unbounded(&mut self, request: &[u8]) -> Result<Answer> {
        self.socket.write_all(request).await.context("cannot send a request")?;
        let mut head = None;
        loop {
            if head.is_none() {
                head = Head::read(&self.buffer)?;
            }
            match head.take() {
                Some(whole) if self.buffer.len() >= whole.bytes + whole.content_length => {
                    return Ok(whole.answer(&mut self.buffer));
                }
                unfinished => head = unfinished,
            }
            if self.socket.read_buf(&mut self.buffer).await.context("cannot read an answer")? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

/// Sends the first path's request on a connection of its own.
pub fn call(address: SocketAddr, requests: &Requests) -> Result<Answer> {
    let path = requests.paths.first().context("no path to ask for")?;
    call_bytes(address, &requests.bytes(path)).with_context(|| format!("{} {path}", requests.method))
}

fn call_bytes(address: SocketAddr, request: &[u8]) -> Result<Answer> {
    let mut socket = TcpStream::connect_timeout(&address, ANSWER_WITHIN).context("cannot connect")?;
    socket.set_read_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
    socket.set_write_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
    socket.write_all(request).context("cannot send a request")?;
    let (mut buffer, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(head) = Head::read(&buffer)?
            && buffer.len() >= head.bytes + head.content_length
        {
            return Ok(head.answer(&mut buffer));
        }
        match socket.read(&mut piece).context("cannot read an answer")? {
            0 => bail!("the server closed the connection"),
            count => buffer.extend_from_slice(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_requests() {
        let requests = Requests::post("/a", &serde_json::json!({ "b": 1 })).signed(Some("t"));
        let text = String::from_utf8(requests.bytes("/a")).unwrap();
        assert_eq!(
            text,
            "POST /a HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nauthorization: Bearer t\r\n\
             content-length: 7\r\n\r\n{\"b\":1}"
        );
        assert!(Requests::get("/x").bytes("/x").ends_with(b"host: 127.0.0.1\r\n\r\n"));
    }

    #[test]
    fn reads_heads() {
        assert!(Head::read(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
        let mut buffer = b"HTTP/1.1 404 Not Found\r\nContent-Type: Application/JSON; charset=x\r\n\
                           ETag: \"a\"\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200"
            .to_vec();
        let answer = Head::read(&buffer).unwrap().unwrap().answer(&mut buffer);
        let (content_type, etag) = ("application/json".to_owned(), "\"a\"".to_owned());
        assert_eq!(answer, Answer { status: 404, content_type, etag, body: b"{}".to_vec() });
        assert_eq!(buffer, b"HTTP/1.1 200");
        assert!(Head::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Head::read(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().is_some());
        let unsent = Head::read(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n").unwrap().unwrap();
        assert_eq!(unsent.content_length, 0);
        assert!(Head::read(b"nonsense\r\n\r\n").is_err());
    }
}
