//! Behind a real socket: what clients do to connections.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay::prelude::*;
use mainstay::web::{RuntimeKind, Server, ServerHandle, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Echo, Text, get_long, with_settings};

/// Send it back.
#[post("/echo", root)]
async fn echo(Valid(text): Valid<Text>) -> Result<Json<Echo>, StoreError> {
    Ok(Json(Echo { text: text.text }))
}

/// Slow.
#[get("/slow", root)]
async fn get_slow() -> Result<Json<Echo>, StoreError> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(Json(Echo { text: "slow".into() }))
}

/// Never.
#[get("/never", root)]
async fn get_never() -> Result<Json<Echo>, StoreError> {
    std::future::pending().await
}

fn serve(change: impl FnOnce(&mut ServerSettings)) -> ServerHandle {
    let mut settings = ServerSettings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..ServerSettings::default() };
    change(&mut settings);
    let api = with_settings(settings, &[&echo, &get_long, &get_slow, &get_never]);
    Server::bind(api).unwrap().spawn()
}

async fn raw(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Everything until the server closes; waits at most 20 s.
async fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as a close.
    let _ =
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

const CLOSE: &str = "host: x\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_and_http_2_are_answered_on_either_runtime() {
    for runtime in [RuntimeKind::WorkStealing, RuntimeKind::PerCore] {
        let server = serve(|s| {
            s.runtime = runtime;
            s.workers = 2;
        });
        for _ in 0..8 {
            let text =
                read_all(raw(server.address(), format!("GET /health/live HTTP/1.1\r\n{CLOSE}").as_bytes()).await).await;
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with(r#"{"status":"live"}"#), "{text}");
        }
        // h2c by prior knowledge (RFC 9113 section 3.3).
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = hyper::Request::post(format!("http://{}/echo", server.address()))
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from_static(b"{\"text\":\"h2\"}")))
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), r#"{"text":"h2"}"#);
        drop(client);
        connection.abort();
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_too_large_is_answered_while_the_client_still_sends() {
    let server = serve(|_| {});
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    // Announced: refused before the body.
    let stream =
        raw(server.address(), format!("{head}content-length: 10485760\r\nconnection: close\r\n\r\n").as_bytes()).await;
    let (mut reader, mut writer) = stream.into_split();
    let sender = tokio::spawn(async move {
        let chunk = vec![b'x'; 65536];
        for _ in 0..160 {
            writer.write_all(&chunk).await?;
        }
        std::io::Result::Ok(())
    });
    let mut text = vec![0; 4096];
    let n = tokio::time::timeout(Duration::from_secs(10), reader.read(&mut text)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&text[..n]).starts_with("HTTP/1.1 413"));
    sender.await.unwrap().expect("the client is not reset while it sends");
    // Not announced: refused in the middle of the chunks (RFC 9112 section 7.1).
    let mut stream =
        raw(server.address(), format!("{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n").as_bytes())
            .await;
    for _ in 0..40 {
        stream.write_all(b"10000\r\n").await.unwrap();
        stream.write_all(&vec![b'x'; 65536]).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let text = read_all(stream).await;
    assert!(text.starts_with("HTTP/1.1 413") && text.contains("body_too_large"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut() {
    let server = serve(|s| {
        s.header_timeout_ms = 300;
        s.request_timeout_ms = 600;
        s.write_timeout_ms = 300;
    });
    let at = server.address();
    // Nothing at all; half a request line; half a header section; half of HTTP/2's preface; an idle keep-alive.
    for opening in [
        "",
        "GE",
        "GET /health/live HTTP/1.1\r\nhost: x\r\nx-a: ",
        "PRI * HT",
        "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let text = read_all(raw(at, opening.as_bytes()).await).await;
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 408") || text.starts_with("HTTP/1.1 200"),
            "{opening:?}: {text}"
        );
    }
    // Half a body.
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let text = read_all(raw(at, head.as_bytes()).await).await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("request_timeout"), "{text}");
    // An answer that is never read: the socket's buffers fill, then the connection is cut.
    let stream = raw(at, b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let is_reset = tokio::time::timeout(Duration::from_secs(20), async {
        while stream.take_error().is_ok_and(|error| error.is_none()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(is_reset.await.is_ok(), "it is cut");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_ends_is_answered_for() {
    let server = serve(|s| s.request_timeout_ms = 300);
    let text = read_all(raw(server.address(), format!("GET /never HTTP/1.1\r\n{CLOSE}").as_bytes()).await).await;
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("deadline_exceeded") && text.contains("retry-after: 1"),
        "{text}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_cannot_be() {
    let server = serve(|_| {});
    let at = server.address();
    let many: String = (0..400).map(|i| format!("x-{i}: y\r\n")).collect();
    for (head, status) in [
        (format!("GET /health/live HTTP/1.1\r\nx: {}\r\n{CLOSE}", "y".repeat(30_000)), "431"),
        (format!("GET /health/live HTTP/1.1\r\nx: {}\r\n{CLOSE}", "y".repeat(200_000)), "431"),
        (format!("GET /health/live HTTP/1.1\r\n{many}{CLOSE}"), "431"),
        (format!("GET /health/live HTTP/1.1\r\nauthorization: a\r\nauthorization: b\r\n{CLOSE}"), "400"),
        (format!("GET /health/live HTTP/1.1\r\nhost: y\r\n{CLOSE}"), "400"),
        (format!("POST /echo HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n{CLOSE}{{}}"), "400"),
        ("GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), "400"),
        (format!("nonsense\r\n{CLOSE}"), "400"),
        (format!("GET /health/live HTTP/1.1\r\nx y: 1\r\n{CLOSE}"), "400"),
    ] {
        let text = read_all(raw(at, head.as_bytes()).await).await;
        let shown = &head[..head.len().min(70)];
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_runs_and_cuts_what_does_not_end() {
    let server = serve(|s| {
        s.drain_timeout_ms = 1500;
        s.request_timeout_ms = 60_000;
    });
    let at = server.address();
    let slow = raw(at, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let never = raw(at, b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = tokio::time::Instant::now();
    let stopping = tokio::spawn(server.stop());
    let text = read_all(slow).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains(r#""slow""#), "{text}");
    assert_eq!(read_all(never).await, "");
    stopping.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(TcpStream::connect(at).await.is_err(), "the listener is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_bound_wait() {
    let server = serve(|s| s.max_connections = 2);
    let at = server.address();
    let held = [TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap()];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let request = format!("GET /health/live HTTP/1.1\r\n{CLOSE}");
    let mut third = raw(at, request.as_bytes()).await;
    let mut byte = [0];
    let waited = tokio::time::timeout(Duration::from_millis(300), third.read(&mut byte)).await;
    assert!(waited.is_err(), "no room yet");
    drop(held);
    assert!(read_all(third).await.contains("TTP/1.1 200"));
    server.stop().await;
}

/// One address cannot have all connections; its next ones are closed, and it gets another for each that it gives back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_an_addresss_share_are_closed() {
    let server = serve(|s| s.max_connections_per_address = 2);
    let at = server.address();
    let request = format!("GET /health/live HTTP/1.1\r\n{CLOSE}");
    let keep = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = raw(at, keep).await;
        // An answer: it is counted.
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    assert_eq!(read_all(raw(at, request.as_bytes()).await).await, "", "closed, without a word");
    held.pop();
    let text = loop {
        // The server sees in its own time that one is gone.
        let text = read_all(raw(at, request.as_bytes()).await).await;
        if !text.is_empty() {
            break text;
        }
    };
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    server.stop().await;

    let server = serve(|s| {
        s.max_connections_per_address = 1;
        s.trusted_proxies = vec!["127.0.0.1".to_owned()];
    });
    let first = raw(server.address(), keep).await;
    let text = read_all(raw(server.address(), request.as_bytes()).await).await;
    assert!(text.starts_with("HTTP/1.1 200"), "a proxy's connections are its clients': {text}");
    drop(first);
    server.stop().await;
}

/// Answers that nobody takes hold no more memory than they may; a client that takes its answer, or asks for little, is
/// served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes_hold_no_more_than_their_share() {
    let server = serve(|s| {
        s.answer_memory_bytes = 80 * 1024 * 1024;
        s.write_timeout_ms = 60_000;
    });
    let at = server.address();
    let ask = format!("GET /long HTTP/1.1\r\n{CLOSE}");
    let mut stuck = Vec::new();
    // Of 8 MiB each, and the share is a quarter of 80.
    for _ in 0..2 {
        let (mut stream, mut begin) = (raw(at, ask.as_bytes()).await, [0; 12]);
        stream.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        stuck.push(stream);
    }
    let refused = read_all(raw(at, ask.as_bytes()).await).await;
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("\"overloaded\""),
        "{}",
        &refused[..refused.len().min(500)]
    );
    assert!(refused.to_lowercase().contains("retry-after: "), "{refused}");
    let small = read_all(raw(at, format!("GET /health/live HTTP/1.1\r\n{CLOSE}").as_bytes()).await).await;
    assert!(small.starts_with("HTTP/1.1 200"), "{small}");
    // There is room as soon as one has left, which the server sees in its own time.
    read_all(stuck.pop().unwrap()).await;
    let text = loop {
        let text = read_all(raw(at, ask.as_bytes()).await).await;
        if !text.starts_with("HTTP/1.1 503") {
            break text;
        }
    };
    assert!(text.starts_with("HTTP/1.1 200") && text.len() > 8 * 1024 * 1024, "{}", &text[..text.len().min(500)]);
    drop(stuck);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cors_is_closed_unless_an_origin_is_named() {
    let named = "https://app.example.com";
    for (origins, origin, expected) in [
        (vec![], named, None),
        (vec![named.to_owned()], named, Some(named)),
        (vec![named.to_owned()], "https://evil.example.com", None),
        (vec![named.to_owned()], "null", None),
        (vec![named.to_owned()], "https://app.example.com.evil.com", None),
    ] {
        let server = serve(|s| {
            s.cors.origins = origins;
            s.cors.credentials = true;
        });
        for request in [
            format!("GET /health/live HTTP/1.1\r\norigin: {origin}\r\n{CLOSE}"),
            format!("OPTIONS /echo HTTP/1.1\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n{CLOSE}"),
        ] {
            let text = read_all(raw(server.address(), request.as_bytes()).await).await;
            let found = text.lines().find_map(|l| l.strip_prefix("access-control-allow-origin: "));
            assert_eq!(found, expected, "{text}");
            assert_eq!(text.contains("access-control-allow-credentials: true"), expected.is_some());
            if expected.is_some() && request.starts_with("OPTIONS") {
                assert!(text.contains("access-control-allow-methods: POST, OPTIONS"), "{text}");
            }
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_is_one_servers_alone() {
    for runtime in [RuntimeKind::WorkStealing, RuntimeKind::PerCore] {
        let server = serve(|s| {
            s.runtime = runtime;
            s.workers = 2;
        });
        let settings = ServerSettings { listen: server.address(), runtime, workers: 2, ..ServerSettings::default() };
        let refused = Server::bind(with_settings(settings, &[])).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
        server.stop().await;
    }
}
