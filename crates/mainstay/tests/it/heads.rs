//! Behind a real socket: heads that say what none may say, and heads that cannot be read at all. Every refusal is a problem.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay::prelude::*;
use mainstay::web::{Server, ServerHandle, ServerSettings, Text as PlainText};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Echo, Text, with_settings};

/// Send it back.
#[post("/echo", root)]
async fn echo(Valid(text): Valid<Text>) -> Result<Json<Echo>, StoreError> {
    Ok(Json(Echo { text: text.text }))
}

/// Nothing.
#[get("/nothing", root)]
async fn get_nothing() -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

/// What hyper says to a head that it cannot read.
const BARE: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: \
                    Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

/// A text that looks like an answer.
#[get("/bare", root)]
async fn get_bare() -> Result<PlainText<&'static str>, StoreError> {
    Ok(PlainText(BARE))
}

fn serve() -> ServerHandle {
    let settings = ServerSettings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..ServerSettings::default() };
    Server::bind(with_settings(settings, &[&echo, &get_nothing, &get_bare])).unwrap().spawn()
}

/// Sends this and no more; all that comes until the server closes.
async fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good as a close.
    let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8(answer).unwrap()
}

/// A last answer that is a problem of this status and name, and nothing after it.
fn check(shown: &str, text: &str, status: u16, code: &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{shown}: no answer: {text:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {text}");
    let header = |name: &str| {
        let mut values = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = values.next().unwrap_or_else(|| panic!("{shown}: no {name}: {text}")).to_owned();
        assert_eq!(values.next(), None, "{shown}: {name} twice: {text}");
        value
    };
    assert_eq!(header("content-type"), "application/problem+json", "{shown}");
    assert_eq!(header("content-length"), body.len().to_string(), "{shown}");
    assert_eq!(header("cache-control"), "no-store", "{shown}");
    assert_eq!(header("connection"), "close", "{shown}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{shown}");
    assert!(header("date").ends_with(" GMT"), "{shown}");
    let json: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{shown}: {text}"));
    assert_eq!((json["status"].as_u64(), json["code"].as_str()), (Some(status.into()), Some(code)), "{shown}: {text}");
    assert_eq!(json["request_id"], header("x-request-id"), "{shown}");
    for name in ["type", "title", "detail", "instance"] {
        assert!(json[name].as_str().is_some_and(|text| !text.is_empty()), "{shown}: {name}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_cannot_be_read_are_answered_with_a_problem() {
    let server = serve();
    let many: String = (0..400).map(|i| format!("x-{i}: y\r\n")).collect();
    let get = |headers: &str| format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes();
    let post = |headers: &str| {
        format!("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n{{}}").into_bytes()
    };
    let (unreadable, too_large) = ((400, "malformed_request"), (431, "headers_too_large"));
    for (bytes, (status, code)) in [
        (b"nonsense\r\n\r\n".to_vec(), unreadable),
        (b"\r\n\r\nnonsense\r\n\r\n".to_vec(), unreadable),
        // HTTP/0.9, versions that are none, targets that are none.
        (b"GET /health/live\r\n\r\n".to_vec(), unreadable),
        (b"GET /health/live HTTP/2.0\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        (b"GET /health/live HTTP/9\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        (b"GET /health/live FTP/1.1\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        (b"GET /health live HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        (b"GET  /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        (b"GET /health/\x01 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        (b"G\x01T /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        (b"(GET) /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), unreadable),
        // TLS, where there is none.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x9a\x5b\x0a\x0a\x0d\x0a".to_vec(), unreadable),
        // HTTP/2's preface, and then not.
        (b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n".to_vec(), unreadable),
        (get("x y: 1\r\n"), unreadable),
        (get("x : 1\r\n"), unreadable),
        (get(": 1\r\n"), unreadable),
        (get("x\r\n"), unreadable),
        (get("x\0: 1\r\n"), unreadable),
        (get("x: a\0b\r\n"), unreadable),
        (get("x: a\x1bb\r\n"), unreadable),
        (get("x: a\r\n folded: b\r\n"), unreadable),
        (get(&many), too_large),
        (get(&format!("x: {}\r\n", "y".repeat(200_000))), too_large),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(200_000)).into_bytes(), too_large),
        (post("content-length: +2\r\n"), unreadable),
        (post("content-length: -2\r\n"), unreadable),
        (post("content-length: 0x2\r\n"), unreadable),
        (post("content-length: 2, 2\r\n"), unreadable),
        (post("content-length: 2 2\r\n"), unreadable),
        (post("content-length: \r\n"), unreadable),
        (post("content-length: 99999999999999999999\r\n"), unreadable),
        (post("content-length: 2\r\ncontent-length: 3\r\n"), unreadable),
        (post("transfer-encoding: gzip\r\n"), unreadable),
        (post("transfer-encoding: xchunked\r\n"), unreadable),
        (post("transfer-encoding: chunked, gzip\r\n"), unreadable),
        (post("transfer-encoding: chunked;x=1\r\n"), unreadable),
        (post("transfer-encoding: \"chunked\"\r\n"), unreadable),
        (post("transfer-encoding:\x0bchunked\r\n"), unreadable),
        (b"POST /echo HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), unreadable),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(110)]).into_owned();
        check(&shown, &ask(server.address(), &bytes).await, status, code);
    }
    server.stop().await;
}

/// RFC 9112 sections 6.1 to 6.3. Whether a proxy before us reads such a request alike nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_whose_end_is_said_in_two_ways_is_refused_and_nothing_more_is_read() {
    let server = serve();
    let (length, coding, next) =
        ("content-length: 15\r\n", "transfer-encoding: chunked\r\n", "GET /bare HTTP/1.1\r\nhost: x\r\n\r\n");
    for headers in [
        "transfer-encoding: gzip, chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, chunked\r\n".to_owned(),
        "transfer-encoding: identity, chunked\r\n".to_owned(),
        "transfer-encoding: , chunked\r\n".to_owned(),
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        format!("{length}{coding}"),
        format!("{coding}{length}"),
        format!("{coding}Content-Length: 0\r\n"),
        "Content-length:0\r\nx: y\r\nTRANSFER-ENCODING:Chunked\r\n".to_owned(),
    ] {
        let body = "f\r\n{\"text\":\"body\"}\r\n0\r\n\r\n";
        for cut in [usize::MAX, 24, 7] {
            let request = format!(
                "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n{body}{next}"
            );
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut sent = true;
            for piece in request.as_bytes().chunks(cut.min(request.len())) {
                // It may be refused and closed before all was sent.
                sent = sent && stream.write_all(piece).await.is_ok();
                tokio::task::yield_now().await;
            }
            let mut bytes = Vec::new();
            let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.expect("it closes");
            check(&headers, &String::from_utf8_lossy(&bytes), 400, "malformed_request");
        }
    }
    // One way is enough, however it is written, also after a GET on the same connection.
    for headers in ["transfer-encoding: chunked\r\n", "Transfer-Encoding:  CHUNKED \r\n"] {
        let request = format!(
            "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\nPOST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             connection: close\r\n{headers}\r\nf\r\n{{\"text\":\"body\"}}\r\n0\r\n\r\n"
        );
        let text = ask(server.address(), request.as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 204 ") && text.ends_with("\r\n\r\n{\"text\":\"body\"}"), "{text}");
    }
    // A chunk whose size is none, within a request that was read.
    let request =
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    check("a bad chunk", &ask(server.address(), request.as_bytes()).await, 400, "body_broken");
    server.stop().await;
}

/// RFC 9110 section 7.2, RFC 9112 section 3.2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_one_host() {
    let server = serve();
    let ask = |target: &str, hosts: &[&str], version: &str| {
        let hosts: String = hosts.iter().map(|host| format!("Host:{host}\r\n")).collect();
        let request = format!("GET {target} HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
        let address = server.address();
        async move { ask(address, request.as_bytes()).await }
    };
    for host in [
        " x",
        "x",
        " api.example.com:8080",
        " API.Example.com",
        " [::1]:80",
        " 127.0.0.1",
        " x: ",
        " a_b.example",
        " \tx\t ",
    ] {
        let text = ask("/health/live", &[host], "1.1").await;
        assert!(text.starts_with("HTTP/1.1 200 "), "{host:?}: {text}");
    }
    for host in [
        "",
        " ",
        " a b",
        " a/b",
        " user@host",
        " user:word@host",
        " host:99999",
        " host:8x",
        " host:-1",
        " [::1",
        " ::1",
        " [x]",
        " :80",
        " a?b",
        " a#b",
        " a\\b",
        " http://x",
        " x,y z",
        " b\u{fc}cher.example",
        " a%zz",
        " <script>",
        " x\"",
    ] {
        check(host, &ask("/health/live", &[host], "1.1").await, 400, "bad_header");
        let text = ask("/health/live", &[host], "1.0").await;
        assert!(text.starts_with("HTTP/1.0 400 ") && text.contains("\"bad_header\""), "{host:?}: {text}");
    }
    check("none", &ask("/health/live", &[], "1.1").await, 400, "bad_header");
    check("two", &ask("/health/live", &[" x", " x"], "1.1").await, 400, "bad_header");
    let text = ask("/health/live", &[], "1.0").await;
    assert!(text.starts_with("HTTP/1.0 200 "), "HTTP/1.0 knows none: {text}");

    // A target that names the host counts, whatever `Host` says, which must be there (section 3.2.2).
    for (target, hosts, status) in [
        ("http://x/health/live", &[" x"][..], "200"),
        ("http://other:8080/health/live", &[" x"], "200"),
        ("https://x/health/live", &[" x"], "200"),
        ("http://x/health/live", &[], "400"),
        ("http://x/health/live", &[" a b"], "400"),
        ("http://user@x/health/live", &[" x"], "400"),
        ("http://x:99999/health/live", &[" x"], "400"),
        ("ftp://x/health/live", &[" x"], "400"),
        ("x:80", &[" x"], "400"),
        ("x", &[" x"], "400"),
        ("*", &[" x"], "400"),
    ] {
        let text = ask(target, hosts, "1.1").await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{target} {hosts:?}: {text}");
        assert_eq!(text.contains("application/problem+json"), status == "400", "{target} {hosts:?}: {text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_but_right_is_answered() {
    let server = serve();
    for (line, status, says) in [
        ("OPTIONS * HTTP/1.1", "204", "\r\nallow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"),
        // Methods are case-sensitive (RFC 9110 section 9.1).
        ("get /health/live HTTP/1.1", "405", "\r\nallow: GET, HEAD, OPTIONS\r\n"),
        ("CONNECT x:80 HTTP/1.1", "404", "route_not_found"),
        ("GET /health/live HTTP/1.0", "200", "live"),
    ] {
        let text = ask(server.address(), format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(text[9..].starts_with(status) && text.contains(says), "{line}: {text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_a_head_that_cannot_be_read_is_answered_whole() {
    let server = serve();
    for (path, status, body) in
        [("/nothing", "204", ""), ("/health/live", "200", r#"{"status":"live"}"#), ("/bare", "200", BARE)]
    {
        let bad = "nonsense\r\n\r\n";
        for first in [
            format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(3),
        ] {
            let text = ask(server.address(), format!("{first}{bad}").as_bytes()).await;
            let mut rest = &text[..];
            for _ in 0..first.matches("GET").count() {
                let (head, after) = rest.split_once("\r\n\r\n").unwrap();
                assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && after.starts_with(body), "{path}: {text}");
                rest = &after[body.len()..];
            }
            check(path, rest, 400, "malformed_request");
        }
        // An HTTP/1.0 client that stays.
        let first = format!("GET {path} HTTP/1.0\r\nconnection: keep-alive\r\n\r\n{bad}");
        let text = ask(server.address(), first.as_bytes()).await;
        let last = text.rfind("HTTP/1.1 400 ").unwrap_or_else(|| panic!("{path}: {text}"));
        check(path, &text[last..], 400, "malformed_request");
    }
    // An answer that only looks like that of a head that cannot be read.
    let request = "GET /bare HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let text = ask(server.address(), request.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with(&format!("\r\n\r\n{BARE}")), "{text}");
    server.stop().await;
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// RFC 9113 section 8.3.1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authority_and_host_of_http_2_are_one() {
    let server = serve();
    // HPACK (RFC 7541): `:status` 200 and 400 are in the static table.
    const OK: u8 = 0x88;
    const BAD: u8 = 0x8c;
    for (authority, host, expected) in [
        (Some("x"), None, OK),
        (None, Some("x"), OK),
        (Some("x"), Some("x"), OK),
        (Some("X.example"), Some("x.EXAMPLE:80"), OK),
        (Some("x"), Some("y"), BAD),
        (Some("x"), Some("x:8080"), BAD),
        (Some("x"), Some("a b"), BAD),
        (Some("x"), Some(""), BAD),
        (Some("user@x"), None, BAD),
        (Some("x:99999"), None, BAD),
        (None, Some("a/b"), BAD),
        (None, None, BAD),
    ] {
        let mut head = vec![0x82, 0x86, 0x04, 12];
        head.extend_from_slice(b"/health/live");
        if let Some(authority) = authority {
            head.extend_from_slice(&[0x01, u8::try_from(authority.len()).unwrap()]);
            head.extend_from_slice(authority.as_bytes());
        }
        if let Some(host) = host {
            head.extend_from_slice(b"\x00\x04host");
            head.push(u8::try_from(host.len()).unwrap());
            head.extend_from_slice(host.as_bytes());
        }
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let opening =
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(1, 5, 1, &head)].concat();
        stream.write_all(&opening).await.unwrap();
        let mut buffer = Vec::new();
        let status = timeout(Duration::from_secs(30), async {
            loop {
                let length = buffer.first_chunk::<9>().map(|head: &[u8; 9]| {
                    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
                });
                match length {
                    Some(length) if buffer.len() >= 9 + length => {
                        if buffer[3] == 1 {
                            return Some(buffer[9]);
                        }
                        buffer.drain(..9 + length);
                    }
                    _ if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 => return None,
                    _ => {}
                }
            }
        });
        assert_eq!(status.await.unwrap(), Some(expected), "{authority:?} {host:?}");
    }
    server.stop().await;
}
