//! What the framework promises, shown on small endpoints.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod bodies;
mod cors;
mod document;
mod endpoints;
mod errors;
mod heads;
mod hostile;
mod idempotency;
mod languages;
mod limits;
mod pages;
mod raw_http;
mod representations;

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use mainstay::kernel::{Clock, Random};
use mainstay::prelude::*;
use mainstay::web::{Api, ApiBuilder, EndpointDef, RequestBody, ServerSettings};

/// Says what came.
#[view]
pub struct Echo {
    /// The text.
    text: String,
}

/// A text.
#[input]
pub struct Text {
    /// It.
    text: String,
}

/// A long answer.
#[get("/long", root)]
pub(crate) async fn get_long() -> Result<Json<Echo>, StoreError> {
    Ok(Json(Echo { text: "x".repeat(8 * 1024 * 1024) }))
}

/// A builder with nothing in it.
fn builder(settings: ServerSettings) -> ApiBuilder {
    ApiBuilder::new(settings, Clock::system(), Random::os())
}

/// An API of these endpoints.
fn api(endpoints: &[&dyn EndpointDef]) -> Arc<Api> {
    with_settings(ServerSettings::default(), endpoints)
}

fn with_settings(settings: ServerSettings, endpoints: &[&dyn EndpointDef]) -> Arc<Api> {
    let mut builder = builder(settings);
    for endpoint in endpoints {
        builder.endpoint("test", endpoint.endpoint());
    }
    builder.build().unwrap()
}

/// An answer, whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The problem's code and its errors as `in pointer code`.
    fn errors(&self) -> (u16, String, Vec<String>) {
        let json = self.json();
        let errors = json["errors"].as_array().map(|list| {
            list.iter().map(|e| format!("{} {} {}", e["in"], e["pointer"], e["code"]).replace('"', "")).collect()
        });
        assert_eq!(json["status"], self.status.as_u16());
        (self.status.as_u16(), json["code"].as_str().unwrap().to_owned(), errors.unwrap_or_default())
    }
}

async fn call(api: &Arc<Api>, request: http::Request<Vec<u8>>) -> Answer {
    let response = api.handle(request.map(|body| RequestBody::Whole(body.into()))).await;
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.bytes().map(|b| b.to_vec()).unwrap_or_default() }
}

fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).unwrap()
}

fn post(path: &str, body: impl Into<Vec<u8>>) -> http::Request<Vec<u8>> {
    http::Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}
