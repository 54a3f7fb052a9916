//! As much HTTP/1.1 as the lab speaks: one request and one answer, with its length or in chunks, on a connection that stays.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
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
    /// `content-encoding`, as it is; empty if there was none.
    pub content_encoding: String,
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
    body: Length,
    content_type: String,
    etag: String,
    content_encoding: String,
}

/// How long an answer's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunks,
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
        let (mut body, mut content_type, mut etag, mut content_encoding) =
            (None, String::new(), String::new(), String::new());
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body = value.trim().parse().ok().map(Length::Bytes);
            } else if name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked") {
                body = Some(Length::Chunks);
            } else if name.eq_ignore_ascii_case("content-encoding") {
                value.trim().clone_into(&mut content_encoding);
            } else if name.eq_ignore_ascii_case("content-type") {
                content_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            } else if name.eq_ignore_ascii_case("etag") {
                value.trim().clone_into(&mut etag);
            }
        }
        // A 304 tells the length of what it does not send.
        let body = if matches!(status, 204 | 304) { Some(Length::Bytes(0)) } else { body };
        let body =
            body.with_context(|| format!("the answer ({status}) says neither its length nor that it is in chunks"))?;
        Ok(Some(Self { bytes: end + 4, status, body, content_type, etag, content_encoding }))
    }

    /// Takes the answer out of the buffer, or nothing while it is not complete.
    fn answer(&self, buffer: &mut Vec<u8>) -> Result<Option<Answer>> {
        let rest = &buffer[self.bytes..];
        let whole = match self.body {
            Length::Bytes(length) => (rest.len() >= length).then(|| (rest[..length].to_vec(), length)),
            Length::Chunks => unchunk(rest)?,
        };
        let Some((body, taken)) = whole else { return Ok(None) };
        buffer.drain(..self.bytes + taken);
        Ok(Some(Answer {
            status: self.status,
            content_type: self.content_type.clone(),
            etag: self.etag.clone(),
            content_encoding: self.content_encoding.clone(),
            body,
        }))
    }
}

/// The chunks at the start of `bytes` put together, and how many bytes they took (RFC 9112, section 7.1); nothing while
/// the last one is not there. No trailers.
fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = std::str::from_utf8(&bytes[at..at + end]).context("a chunk's size is not text")?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).with_context(|| format!("{line:?} is no chunk's size"))?;
        let start = at + end + 2;
        let Some(chunk) = bytes.get(start..start + size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            bail!("a chunk is longer than it says");
        }
        body.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
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
            if let Some(head) = &head
                && let Some(answer) = head.answer(&mut self.buffer)?
            {
                return Ok(answer);
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

/// An error unless the path is answered 200 over HTTP/2 by prior knowledge, which we leave to curl; the body otherwise.
pub fn speaks_http2(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut curl = Command::new("curl");
    curl.args(["--http2-prior-knowledge", "-s", "-m", "10", "-w", "%{stderr}%{http_version} %{http_code}"]);
    let out = curl.arg(format!("http://{address}{path}")).output().context("cannot start curl")?;
    let said = String::from_utf8_lossy(&out.stderr);
    if said.trim() != "2 200" {
        bail!("{path} is answered {said:?} instead of 200 over HTTP/2");
    }
    Ok(out.stdout)
}

fn call_bytes(address: SocketAddr, request: &[u8]) -> Result<Answer> {
    let mut socket = TcpStream::connect_timeout(&address, ANSWER_WITHIN).context("cannot connect")?;
    socket.set_read_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
    socket.set_write_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
    socket.write_all(request).context("cannot send a request")?;
    let (mut buffer, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(head) = Head::read(&buffer)?
            && let Some(answer) = head.answer(&mut buffer)?
        {
            return Ok(answer);
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
        let answer = Head::read(&buffer).unwrap().unwrap().answer(&mut buffer).unwrap().unwrap();
        let (content_type, etag) = ("application/json".to_owned(), "\"a\"".to_owned());
        let content_encoding = String::new();
        assert_eq!(answer, Answer { status: 404, content_type, etag, content_encoding, body: b"{}".to_vec() });
        assert_eq!(buffer, b"HTTP/1.1 200");
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::read(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().is_some());
        let unsent = Head::read(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n").unwrap().unwrap();
        assert_eq!(unsent.body, Length::Bytes(0));
        assert!(Head::read(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn reads_chunks() {
        let whole =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        for length in 0..whole.len() {
            let mut part = whole[..length].to_vec();
            let answer = Head::read(&part).unwrap().and_then(|head| head.answer(&mut part).unwrap());
            assert!(answer.is_none(), "{length} of {} bytes are not all", whole.len());
        }
        let mut buffer = [&whole[..], b"HTTP/1.1"].concat();
        let answer = Head::read(&buffer).unwrap().unwrap().answer(&mut buffer).unwrap().unwrap();
        assert_eq!((&answer.body[..], &buffer[..]), (&b"abc0123456789"[..], &b"HTTP/1.1"[..]));
        assert!(unchunk(b"zz\r\n").is_err());
        assert!(unchunk(b"1\r\nabcd").is_err());
    }
}
