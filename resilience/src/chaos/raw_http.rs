//! Bytes as they stand: HTTP/1.1 as a test wants it, and HTTP/2's frames by hand (RFC 9113, RFC 7541).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// Longer than any bound of the server's own.
pub const TIMEOUT: Duration = Duration::from_secs(25);

/// A connection to the server.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    connect_from(Ipv4Addr::LOCALHOST, port)
}

/// A connection to the server by a client at this address, one of 127.0.0.0/8.
pub fn connect_from(address: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into(), TIMEOUT)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.shown()))
    }

    /// The problem's name, where it is one.
    pub fn code(&self) -> String {
        let name = self.json().ok().and_then(|body| body["code"].as_str().map(str::to_owned));
        name.unwrap_or_default()
    }

    pub fn must_be(self, status: u16) -> Result<Self> {
        if self.status == status { Ok(self) } else { bail!("{status} was expected: {}", self.shown()) }
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.head.lines().any(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))
    }

    pub fn shown(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        format!("{} {body}", self.status)
    }
}

/// A request of HTTP/1.1 as bytes.
pub fn request(method: &str, path: &str, token: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: drill\r\n{headers}");
    if !token.is_empty() {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
        if !headers.contains("content-type") {
            head.push_str("content-type: application/json\r\n");
        }
    }
    let mut bytes = format!("{head}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One request on a connection of its own.
pub fn ask(port: u16, method: &str, path: &str, token: &str, body: Option<&Value>) -> Result<Response> {
    let body = body.map(Value::to_string).unwrap_or_default();
    send(port, &request(method, path, token, "connection: close\r\n", body.as_bytes()))
}

/// Sends these bytes on a connection of their own, and reads one answer. That the server closes while we still send is
/// its right: its answer is what counts.
pub fn send(port: u16, bytes: &[u8]) -> Result<Response> {
    let mut stream = connect(port).context("cannot connect")?;
    let sent = stream.write_all(bytes);
    receive(&mut stream).with_context(|| format!("no answer ({sent:?} when sending)"))
}

/// Reads one answer, with a length or until the end.
pub fn receive(stream: &mut TcpStream) -> Result<Response> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut bytes).context("the head")?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status =
        head.get(9..12).and_then(|status| status.parse().ok()).with_context(|| format!("no status: {head}"))?;
    let mut body = bytes.split_off(end + 4);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    while length.is_some_and(|length| body.len() < length) {
        more(stream, &mut body).context("the body")?;
    }
    Ok(Response { status, head, body })
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk)?;
    if count == 0 {
        bail!("the server closed");
    }
    bytes.extend_from_slice(&chunk[..count]);
    Ok(())
}

/// How HTTP/2 begins (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (RFC 9113 section 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of HEADERS; PING's and SETTINGS' ACK is the first.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The preface and settings that a client begins with.
pub fn opening(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(kind::SETTINGS, 0, 0, &payload));
    bytes
}

/// A head as HPACK: the method and scheme from the static table, the rest in full.
pub fn block(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = vec![if method == "POST" { 0x83 } else { 0x82 }, 0x86];
    for (index, value) in [(4, path), (1, "drill")] {
        bytes.push(index);
        text(&mut bytes, value);
    }
    for (name, value) in headers {
        bytes.push(0);
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

/// A string of HPACK, not Huffman-coded, with its length in one or more bytes (RFC 7541 section 5).
pub fn text(bytes: &mut Vec<u8>, text: &str) {
    length(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// A string's length.
pub fn length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        bytes.push(length as u8);
        return;
    }
    bytes.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

/// The frames that have arrived whole: kind, flags, payload. What is left stays in the buffer.
pub fn frames(buffer: &mut Vec<u8>) -> Vec<(u8, u8, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(head) = buffer.get(at..at + 9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let Some(payload) = buffer.get(at + 9..at + 9 + length) else { break };
        found.push((kind, flags, payload.to_vec()));
        at += 9 + length;
    }
    buffer.drain(..at);
    found
}

/// How an attack on one connection went.
pub struct Attack {
    /// Bytes that were taken from us.
    pub sent: u64,
    /// After how long the server cut us; `None` if it did not.
    pub cut_after: Option<Duration>,
    /// What it said, as it came.
    pub heard: Vec<u8>,
}

/// Sends what `next` makes, again and again, and reads what comes, until the server cuts us or `limit` has passed. When
/// `next` has nothing more it waits for the server's end.
pub fn attack(port: u16, limit: Duration, reads: bool, mut next: impl FnMut() -> Option<Vec<u8>>) -> Result<Attack> {
    let mut stream = connect(port).context("cannot connect")?;
    stream.set_nonblocking(true).context("cannot be non-blocking")?;
    let (start, mut attack) = (Instant::now(), Attack { sent: 0, cut_after: None, heard: Vec::new() });
    let (mut pending, mut at, mut is_over) = (Vec::new(), 0, false);
    let mut chunk = vec![0; 64 * 1024];
    while start.elapsed() < limit {
        if at == pending.len() && !is_over {
            match next() {
                Some(bytes) => (pending, at) = (bytes, 0),
                None => is_over = true,
            }
        }
        let mut is_waiting = true;
        if at < pending.len() {
            match stream.write(&pending[at..]) {
                Ok(count) => {
                    at += count;
                    attack.sent += count as u64;
                    is_waiting = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    // What it said before it cut us may still be there.
                    while let Ok(count @ 1..) = stream.read(&mut chunk) {
                        attack.heard.extend_from_slice(&chunk[..count]);
                    }
                    attack.cut_after = Some(start.elapsed());
                    break;
                }
            }
        }
        if reads {
            match stream.read(&mut chunk) {
                Ok(0) => {
                    attack.cut_after = Some(start.elapsed());
                    break;
                }
                Ok(count) => {
                    is_waiting = false;
                    // The first megabyte tells enough.
                    if attack.heard.len() < 1024 * 1024 {
                        attack.heard.extend_from_slice(&chunk[..count]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    attack.cut_after = Some(start.elapsed());
                    break;
                }
            }
        } else if let Ok(Some(_)) = stream.take_error() {
            attack.cut_after = Some(start.elapsed());
            break;
        }
        if is_waiting {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(attack)
}

impl Attack {
    /// The status of the first answer of HTTP/1.1, if one came.
    pub fn status(&self) -> Option<u16> {
        let head = String::from_utf8_lossy(self.heard.get(..12)?).into_owned();
        head.starts_with("HTTP/1.").then(|| head.get(9..12)?.parse().ok())?
    }

    /// The reason of the server's GOAWAY, if one came.
    pub fn goaway(&self) -> Option<u32> {
        let mut buffer = self.heard.clone();
        frames(&mut buffer).into_iter().find(|(kind, ..)| *kind == kind::GOAWAY).and_then(|(_, _, payload)| {
            payload.get(4..8).and_then(|reason| reason.try_into().ok()).map(u32::from_be_bytes)
        })
    }

    /// For the report.
    pub fn shown(&self) -> String {
        let kib = self.sent / 1024;
        let how = match (self.cut_after, self.goaway()) {
            (Some(after), Some(reason)) => format!("cut after {:.1} s, GOAWAY {reason}", after.as_secs_f64()),
            (Some(after), None) => format!("cut after {:.1} s", after.as_secs_f64()),
            (None, _) => "not cut".to_owned(),
        };
        let status = self.status().map(|status| format!("{status}, ")).unwrap_or_default();
        format!("{status}{how}, {kib} KiB taken")
    }
}
