//! Pages of other origins, as browsers ask for them (Fetch, "CORS protocol").

use std::net::SocketAddr;
use std::time::Duration;

use mainstay::prelude::*;
use mainstay::web::{CorsSettings, Server, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Echo, Text, builder, call, with_settings};

/// Send it back.
#[post("/echo", root)]
async fn echo(Valid(text): Valid<Text>) -> Result<Json<Echo>, StoreError> {
    Ok(Json(Echo { text: text.text }))
}

/// Never.
#[get("/never", root)]
async fn get_never() -> Result<Json<Echo>, StoreError> {
    std::future::pending().await
}

/// Panics.
#[get("/panic", root)]
async fn get_panic() -> Result<NoContent, StoreError> {
    panic!("as it should")
}

const ORIGIN: &str = "https://app.example.com";

fn settings(origins: &[&str]) -> ServerSettings {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    ServerSettings { cors: CorsSettings { origins, ..CorsSettings::default() }, ..ServerSettings::default() }
}

fn preflight(path: &str, origin: &str, method: &str) -> http::Request<Vec<u8>> {
    http::Request::options(path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .body(Vec::new())
        .unwrap()
}

#[tokio::test]
async fn an_origin_is_met_however_it_is_written_in_the_settings() {
    for written in ["https://App.Example.com", "https://app.example.com:443", "HTTPS://APP.EXAMPLE.COM:", ORIGIN] {
        let settings = settings(&["https://other.example", written]);
        settings.validate().unwrap();
        let api = with_settings(settings, &[&echo]);
        let answer = call(&api, preflight("/echo", ORIGIN, "POST")).await;
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{written}");
        for stranger in ["https://app.example.com:8443", "http://app.example.com", "https://x.app.example.com", "null"]
        {
            let answer = call(&api, preflight("/echo", stranger, "POST")).await;
            assert_eq!(answer.header("access-control-allow-origin"), "", "{written} {stranger}");
        }
    }
}

#[test]
fn an_origin_that_no_browser_sends_is_told_at_the_start() {
    for written in ["https://*.example.com", "https://app.example.com/", "https://user@app.example.com", "null", "*"] {
        let told = settings(&[written]).validate().unwrap_err();
        assert!(told.contains(written) && told.contains("no browser sends"), "{told}");
        let refused = builder(settings(&[written])).build().map(drop).unwrap_err().to_string();
        assert_eq!(refused, told);
    }
}

/// What a browser does with a preflight's answer (Fetch section 4.8): whether it goes on to send the request.
fn goes_on(answer: &crate::Answer, method: &str, headers: &[&str]) -> bool {
    let list = |name: &str| answer.header(name).split(", ").map(str::to_owned).collect::<Vec<_>>();
    let (methods, names) = (list("access-control-allow-methods"), list("access-control-allow-headers"));
    answer.status.is_success()
        && answer.header("access-control-allow-origin") == ORIGIN
        && (methods.iter().any(|known| known == method) || matches!(method, "GET" | "HEAD" | "POST"))
        && headers.iter().all(|name| names.iter().any(|known| known == name))
}

#[tokio::test]
async fn a_page_always_gets_to_see_the_real_answer() {
    let api = with_settings(settings(&[ORIGIN]), &[&echo]);
    for (path, method, status) in [
        ("/echo", "POST", 415),
        ("/echo", "DELETE", 405),
        ("/echo", "PATCH", 405),
        ("/echo", "PURGE", 405),
        ("/absent", "GET", 404),
        ("/absent", "DELETE", 404),
        ("/absent", "PURGE", 404),
        ("/api/v1/absent/1", "PUT", 404),
        ("/", "PATCH", 404),
    ] {
        let answer = call(&api, preflight(path, ORIGIN, method)).await;
        let headers = ["authorization", "content-type", "idempotency-key", "if-match", "traceparent"];
        assert!(goes_on(&answer, method, &headers), "{method} {path}: {} {:?}", answer.status, answer.headers);
        assert_eq!((answer.status.as_u16(), answer.header("vary")), (204, "origin"), "{method} {path}");
        let request =
            http::Request::builder().method(method).uri(path).header("origin", ORIGIN).body(Vec::new()).unwrap();
        let answer = call(&api, request).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{method} {path}");
        assert!(answer.header("access-control-expose-headers").contains("x-request-id"), "{method} {path}");
    }
    // The answer lists the methods that the path really takes.
    let allow = |answer: &crate::Answer| answer.header("access-control-allow-methods").to_owned();
    assert_eq!(allow(&call(&api, preflight("/echo", ORIGIN, "POST")).await), "POST, OPTIONS");
    let answer = call(&api, preflight("/absent", ORIGIN, "GET")).await;
    assert_eq!(answer.header("allow"), "", "a path that is not there takes nothing");
    // Other origins learn no more than before.
    let answer = call(&api, preflight("/absent", "https://evil.example", "GET")).await;
    assert_eq!((answer.status.as_u16(), allow(&answer)), (404, String::new()));
    let closed = with_settings(ServerSettings::default(), &[]);
    assert_eq!(call(&closed, preflight("/absent", ORIGIN, "GET")).await.status, 404);
    // No preflight, and one that asks for no method.
    let mut request = preflight("/absent", ORIGIN, "GET");
    request.headers_mut().remove("access-control-request-method");
    assert_eq!(call(&api, request).await.status, 404);
    for odd in ["", "A B", "GET\u{e9}"] {
        let mut request = preflight("/echo", ORIGIN, "GET");
        request
            .headers_mut()
            .insert("access-control-request-method", http::HeaderValue::from_bytes(odd.as_bytes()).unwrap());
        assert_eq!(allow(&call(&api, request).await), "POST, OPTIONS", "{odd:?}");
    }
}

#[tokio::test]
async fn further_headers_are_a_setting() {
    let asks =
        |api: std::sync::Arc<mainstay::web::Api>| async move { call(&api, preflight("/echo", ORIGIN, "POST")).await };
    let answer = asks(with_settings(settings(&[ORIGIN]), &[&echo])).await;
    let tracing = ["sentry-trace", "baggage", "traceparent", "tracestate", "x-requested-with"];
    assert!(goes_on(&answer, "POST", &tracing), "{:?}", answer.headers);
    assert!(!goes_on(&answer, "POST", &["x-client-version"]));
    let mut changed = settings(&[ORIGIN]);
    changed.cors.allowed_headers = vec!["X-Client-Version".to_owned()];
    changed.cors.exposed_headers = vec!["X-Total".to_owned()];
    let api = with_settings(changed, &[&echo]);
    let answer = asks(api.clone()).await;
    assert!(goes_on(&answer, "POST", &["authorization", "x-client-version"]), "{:?}", answer.headers);
    assert!(!goes_on(&answer, "POST", &["baggage"]));
    let mut request = crate::get("/absent");
    request.headers_mut().insert("origin", ORIGIN.parse().unwrap());
    assert!(call(&api, request).await.header("access-control-expose-headers").ends_with(", x-total"));
    for bad in ["*", "x y", ""] {
        let mut changed = settings(&[]);
        changed.cors.allowed_headers = vec![bad.to_owned()];
        assert!(changed.validate().unwrap_err().contains("server.cors.allowed_headers"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_can_be_read_by_the_page() {
    let settings = ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        request_timeout_ms: 400,
        ..settings(&[ORIGIN])
    };
    let server = Server::bind(with_settings(settings, &[&echo, &get_never, &get_panic])).unwrap().spawn();
    let json = "content-type: application/json\r\n";
    let long = "y".repeat(20_000);
    for (head, body, status) in [
        ("GET /absent".to_owned(), "", "404"),
        ("DELETE /echo".to_owned(), "", "405"),
        ("GET /panic".to_owned(), "", "500"),
        ("GET /never".to_owned(), "", "503"),
        ("POST /echo".to_owned(), "content-length: 2\r\n\r\n{}", "415"),
        ("POST /echo".to_owned(), &format!("{json}content-length: 1\r\n\r\n{{"), "400"),
        ("POST /echo".to_owned(), &format!("{json}content-length: 2\r\n\r\n{{}}"), "422"),
        ("POST /echo".to_owned(), &format!("{json}content-length: 99999999\r\n\r\n"), "413"),
        ("POST /echo".to_owned(), &format!("{json}content-length: 50\r\n\r\n{{"), "408"),
        ("GET /absent".to_owned(), &format!("x-long: {long}\r\n\r\n"), "431"),
        ("GET /absent".to_owned(), "host: twice\r\n\r\n", "400"),
        ("POST /echo".to_owned(), "transfer-encoding: gzip, chunked\r\n\r\n", "400"),
        ("POST /echo".to_owned(), "content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", "415"),
    ] {
        let rest = if body.is_empty() { "\r\n" } else { body };
        let request = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: {ORIGIN}\r\n{rest}");
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
        // A reset after the answer is as good as a close.
        let _ = read.await.expect("the server closes");
        let text = String::from_utf8_lossy(&bytes);
        let shown = &request[..request.len().min(150)];
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {text}");
        for line in [
            &format!("access-control-allow-origin: {ORIGIN}"),
            "vary: origin",
            "cache-control: no-store",
            "content-type: application/problem+json",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}: {shown}: {text}");
        }
        assert!(text.contains("\r\nx-request-id: "), "{shown}: {text}");
    }
    server.stop().await;
}
