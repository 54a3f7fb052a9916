//! HEAD and 304 say what the 200 they stand for says (RFC 9110 sections 8.6, 9.3.2, 15.4.5).

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use mainstay::prelude::*;
use mainstay::web::{Api, Body, Endpoint, Method, Response, ServerSettings, Text as PlainText};

use crate::{Answer, Echo, builder, call, get};

/// Large and small, and an error.
#[get("/echo/{size}", root)]
async fn get_echo(Path(size): Path<u32>) -> Result<Json<Echo>, StoreError> {
    Ok(Json(Echo { text: "echo ".repeat(size as usize) }))
}

/// Text, which has no tag.
#[get("/text", root)]
async fn get_text() -> Result<PlainText<String>, StoreError> {
    Ok(PlainText("text ".repeat(1000)))
}

/// Nothing.
#[get("/nothing", root)]
async fn get_nothing() -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

/// A secret.
#[get("/secret", root)]
async fn get_secret() -> Result<NoStore<Echo>, StoreError> {
    Ok(NoStore(Echo { text: "secret".repeat(1000) }))
}

/// Do something.
#[post("/act", root)]
async fn act() -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

/// An answer made by hand.
fn by_hand(path: &str, make: fn() -> Response) -> Endpoint {
    let id = path.trim_start_matches('/').to_owned();
    let handler = Arc::new(move |_| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
        Box::pin(std::future::ready(Ok(make())))
    });
    Endpoint::new(Method::Get, path, id, "By hand.", |op| op.success(200, "OK", None, serde_json::json!({})), handler)
        .at_root()
}

fn published() -> Response {
    let mut response = Response::new(Body::new("{\"of\":\"everybody\"}".repeat(100)));
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-language", "en"),
        ("content-location", "/published/1"),
        ("expires", "Thu, 01 Dec 1994 16:00:00 GMT"),
        ("cache-control", "public, max-age=60"),
        ("etag", "\"mine\""),
        ("vary", "x-colour"),
        ("x-own", "kept"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn moved() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/published"));
    response
}

fn all(origins: &[&str]) -> Arc<Api> {
    let mut settings = ServerSettings::default();
    settings.cors.origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let mut builder = builder(settings);
    for endpoint in [by_hand("/published", published), by_hand("/moved", moved)] {
        builder.endpoint("test", endpoint);
    }
    for endpoint in [&get_echo as &dyn mainstay::web::EndpointDef, &get_text, &get_nothing, &get_secret, &act] {
        builder.endpoint("test", endpoint.endpoint());
    }
    builder.build().unwrap()
}

/// What two answers to one question share.
fn said(answer: &Answer, but: &[&str]) -> HeaderMap {
    let mut headers = answer.headers.clone();
    for name in ["x-request-id", "content-security-policy"].iter().chain(but) {
        headers.remove(*name);
    }
    headers
}

#[tokio::test]
async fn a_head_and_a_304_have_the_headers_of_their_200() {
    let page = call(&all(&[]), get("/docs")).await;
    let page = String::from_utf8(page.body).unwrap();
    let assets = page.split(['"', ' ']).filter(|word| word.starts_with("docs/assets/"));
    let licences = assets.clone().filter(|link| link.ends_with(".js")).map(|link| format!("/{link}.LICENSE.txt"));
    let mut paths: Vec<String> = assets.clone().map(|link| format!("/{link}")).chain(licences).collect();
    paths.extend(
        ["/echo/1", "/echo/1000", "/echo/x", "/text", "/nothing", "/secret", "/published", "/moved", "/absent"]
            .map(str::to_owned),
    );
    paths.extend(["/openapi.json", "/docs", "/redoc", "/health/live"].map(str::to_owned));
    for origins in [&[][..], &["https://app.example.com"]] {
        let api = all(origins);
        let mut short = 0;
        for path in &paths {
            for accept in ["", "gzip", "zstd", "gzip;q=0.5, zstd;q=0.1", "identity", "br", "*;q=0"] {
                let ask = |method: http::Method, known: Option<&str>| {
                    let mut request = http::Request::builder()
                        .method(method)
                        .uri(path)
                        .header("accept-encoding", accept)
                        .header("origin", "https://app.example.com");
                    if let Some(known) = known {
                        request = request.header("if-none-match", known);
                    }
                    call(&api, request.body(Vec::new()).unwrap())
                };
                let shown = format!("{path} {accept:?} {origins:?}");
                let full = ask(http::Method::GET, None).await;
                let head = ask(http::Method::HEAD, None).await;
                assert_eq!((head.status, head.body.len()), (full.status, 0), "{shown}");
                assert_eq!(said(&head, &["content-length"]), said(&full, &[]), "{shown}");
                if full.status == 204 {
                    assert!(!head.headers.contains_key("content-length"), "{shown}: RFC 9110 section 8.6");
                } else {
                    assert_eq!(head.header("content-length"), full.body.len().to_string(), "{shown}");
                }
                let tag = full.header("etag");
                if tag.is_empty() {
                    continue;
                }
                assert_eq!(full.status, 200, "{shown}");
                let coding = full.header("content-encoding");
                assert!(coding.is_empty() || tag.ends_with(&format!("-{coding}\"")), "{shown}: {tag}");
                // The tag as it came, weak, among others, of another coding of the same, and any.
                let plain = tag.replace("-gzip\"", "\"").replace("-zstd\"", "\"");
                for known in [tag, &format!("W/{tag}"), &format!("\"a\", {tag}"), &plain, "*"] {
                    for method in [http::Method::GET, http::Method::HEAD] {
                        let answer = ask(method, Some(known)).await;
                        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{shown} {known}");
                        let described = ["content-type", "content-encoding", "content-language"];
                        assert_eq!(said(&answer, &[]), said(&full, &described), "{shown} {known}");
                        assert!(!answer.headers.contains_key("content-length"), "{shown} {known}");
                        short += 1;
                    }
                }
                assert_eq!(ask(http::Method::GET, Some("\"other\"")).await.status, 200, "{shown}");
            }
        }
        assert!(short > 500, "{short}");
    }
}

#[tokio::test]
async fn an_answer_says_who_may_keep_it() {
    let api = all(&[]);
    let with = |path: &str, token: bool| {
        let mut request = get(path);
        if token {
            request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x"));
        }
        call(&api, request)
    };
    for is_signed in [false, true] {
        for (path, status, expected) in [
            ("/echo/1", 200, "private, no-cache"),
            ("/text", 200, "private, no-cache"),
            ("/nothing", 204, "private, no-cache"),
            ("/moved", 303, "private, no-cache"),
            ("/secret", 200, "no-store"),
            ("/published", 200, "public, max-age=60"),
            ("/absent", 404, "no-store"),
            ("/echo/x", 422, "no-store"),
        ] {
            let answer = with(path, is_signed).await;
            assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (status, expected), "{path}");
            assert_eq!(answer.headers.get_all(CACHE_CONTROL).iter().count(), 1, "{path}");
        }
        let mut request = crate::post("/act", "");
        if is_signed {
            request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x"));
        }
        let answer = call(&api, request).await;
        assert_eq!(answer.header("cache-control"), if is_signed { "private, no-cache" } else { "" });
    }
}
