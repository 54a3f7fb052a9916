//! Bad bodies, each with its exact answer. All faults of one body come back at once, by wire name.

use mainstay::kernel::Text;
use mainstay::prelude::*;
use serde_json::json;

use crate::{api, call, get, post};

/// A line of an order.
#[input]
#[derive(Debug)]
pub struct Line {
    /// What.
    #[check(length(min = 1, max = 5))]
    sku: String,
    /// How many.
    #[check(range(min = 1, max = 9))]
    count: i64,
}

/// How it is sent.
#[input]
#[derive(Debug)]
pub enum Shipping {
    Standard,
    NextDay,
}

/// An order.
#[input]
#[derive(Debug)]
pub struct NewOrder {
    /// Who orders.
    #[check(email)]
    email: String,
    /// What is ordered.
    #[check(length(min = 1, max = 3))]
    lines: Vec<Line>,
    /// How it is sent.
    shipping: Option<Shipping>,
    /// A word of three capitals.
    #[check(pattern = "^[A-Z]{3}$")]
    #[serde(rename = "couponCode")]
    coupon: Option<String>,
    /// When.
    at: Option<Time>,
    /// For whom.
    person: Option<UserId>,
    /// Anything.
    #[serde(default)]
    extra: Json2,
    /// A rule of one's own.
    #[check(with = even)]
    even: Option<i64>,
}

type Json2 = mainstay::kernel::Json;

fn even(number: &Option<i64>) -> Result<(), Text> {
    if number.is_some_and(|n| n % 2 == 1) { Err(text!("must be even")) } else { Ok(()) }
}

/// Order.
#[post("/orders")]
pub async fn create_order(Valid(new): Valid<NewOrder>) -> Result<Json<OrderView>, StoreError> {
    Ok(Json(OrderView { text: format!("{new:?}") }))
}

/// What came.
#[view]
pub struct OrderView {
    /// In words.
    text: String,
}

/// JSON Schema 2020-12, section 6.1.1: a number without a fraction is whole, however it is written.
#[tokio::test]
async fn a_whole_number_may_be_written_with_a_point() {
    let api = api(&[&create_order]);
    let with = |count: &str, even: &str| {
        format!(r#"{{"email":"a@example.com","lines":[{{"sku":"x","count":{count}}}],"even":{even}}}"#)
    };
    for (count, even) in [("1.0", "2"), ("9e0", "-0.0"), ("1", "1e18")] {
        let answer = call(&api, post(PATH, with(count, even))).await;
        assert_eq!(answer.status.as_u16(), 200, "{count} {even}: {}", answer.json());
    }
    // What is read so is judged like anything else.
    for (count, even, fault) in [
        ("1.0", "3.0", "body /even rule"),
        ("10.0", "2", "body /lines/0/count range"),
        ("1.5", "2.0", "body /lines/0/count type"),
    ] {
        let (status, _, found) = call(&api, post(PATH, with(count, even))).await.faults();
        assert_eq!((status, found), (422, vec![fault.to_owned()]), "{count} {even}");
    }
    let (status, _, found) = call(&api, post(PATH, with("1.0", "1e19"))).await.faults();
    assert_eq!((status, found), (422, vec!["body /even not_acceptable".to_owned()]));
}

/// A change of an order.
#[input]
#[derive(Debug)]
pub struct OrderPatch {
    /// May not be null.
    #[check(length(max = 3))]
    name: Change<String>,
    /// May be null.
    note: Change<Option<String>>,
}

/// Change an order.
#[patch("/orders")]
async fn update_order(Valid(patch): Valid<OrderPatch>) -> Result<Json<OrderView>, StoreError> {
    Ok(Json(OrderView { text: format!("{:?} {:?}", patch.name, patch.note) }))
}

const PATH: &str = "/api/v1/orders";

#[tokio::test]
async fn every_fault_of_a_body_at_once() {
    let api = api(&[&create_order]);
    let good = r#"{"email":"a@example.com","lines":[{"sku":"x","count":1}],"shipping":"next_day","couponCode":"ABC","even":2}"#;
    assert_eq!(call(&api, post(PATH, good)).await.status.as_u16(), 200);
    for (body, faults) in [
        // Types, missing, unknown, nested, by wire name.
        (json!({}), vec!["/email required", "/lines required"]),
        (
            json!({"email": 1, "lines": [{"sku": "toolong", "count": 0, "colour": 1}, {}], "couponCode": "abc", "nonsense": true,
                "shipping": "slow", "at": "yesterday", "person": "key_1"}),
            vec![
                "/at format",
                "/couponCode pattern",
                "/email type",
                "/lines/0/colour unknown_field",
                "/lines/0/count range",
                "/lines/0/sku length",
                "/lines/1/count required",
                "/lines/1/sku required",
                "/nonsense unknown_field",
                "/person pattern",
                "/shipping not_allowed",
            ],
        ),
        // Rules alone: what serde reads but the rules refuse.
        (json!({"email": "nobody", "lines": []}), vec!["/email email", "/lines length"]),
        (
            json!({"email": "a@example.com", "lines": [{"sku": "x", "count": 10}], "even": 3}),
            vec!["/even rule", "/lines/0/count range"],
        ),
        (json!({"email": "a@example.com", "lines": [{"sku": "a\0b", "count": 1}]}), vec!["/lines/0/sku nul_character"]),
        (
            json!({"email": "a@example.com", "lines": [{"sku": "x", "count": 1}], "extra": {"a": ["\0"]}}),
            vec!["/extra nul_character"],
        ),
        (json!({"email": "a@example.com", "lines": [{"sku": "x", "count": 1.5}]}), vec!["/lines/0/count type"]),
        (json!({"email": "a@example.com", "lines": [{"sku": "x", "count": 1e300}]}), vec!["/lines/0/count range"]),
        (json!([]), vec![" type"]),
        // What serde derives would read by position.
        (json!(["a@example.com", [{"sku": "x", "count": 1}], null, null, null, null, null, null]), vec![" type"]),
        (json!({"email": "a@example.com", "lines": [["x", 1]]}), vec!["/lines/0 type"]),
        (json!(null), vec![" type"]),
    ] {
        let (status, code, found) = call(&api, post(PATH, body.to_string())).await.faults();
        let expected: Vec<String> = faults.iter().map(|f| format!("body {f}")).collect();
        assert_eq!((status, code.as_str()), (422, "invalid_request"), "{body}");
        assert_eq!(found, expected, "{body}");
    }
}

#[tokio::test]
async fn no_fault_tells_of_rust() {
    let api = api(&[&create_order]);
    for body in [json!({"email": 1, "lines": {}, "shipping": 5}), json!([[]]), json!({"lines": [{"count": {}}]})] {
        let text = String::from_utf8(call(&api, post(PATH, body.to_string())).await.body).unwrap();
        for word in ["NewOrder", "struct", "i64", "Vec", "Option", "serde", "expected a", "variant", "::"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
}

#[tokio::test]
async fn malformed_bodies() {
    let api = api(&[&create_order]);
    let deep = format!(r#"{{"extra":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (body, status, code) in [
        (&b"{\"email\":"[..], 400, "malformed_json"),
        (b"", 400, "malformed_json"),
        (b"{} {}", 400, "malformed_json"),
        (b"{'a':1}", 400, "malformed_json"),
        (b"{\"email\":\"\xff\"}", 400, "malformed_json"),
        (b"\xef\xbb\xbf{}", 400, "malformed_json"),
        (b"{\"email\":\"\\ud800\"}", 400, "malformed_json"),
        (b"{\"email\":\"a@b.cd\",\"email\":\"a@b.cd\"}", 400, "repeated_field"),
        (b"{\"extra\":{\"a\":1,\"a\":2}}", 400, "repeated_field"),
        (deep.as_bytes(), 400, "malformed_json"),
        (b"NaN", 400, "malformed_json"),
    ] {
        let (found, name, _) = call(&api, post(PATH, body)).await.faults();
        assert_eq!((found, name.as_str()), (status, code), "{}", String::from_utf8_lossy(&body[..body.len().min(50)]));
    }
    let repeated = call(&api, post(PATH, r#"{"email":1,"email":2}"#)).await.json();
    assert_eq!(repeated["detail"], "The field `email` stands twice. Send it once.");
}

#[tokio::test]
async fn content_types() {
    let api = api(&[&create_order]);
    let send = |kind: Option<&str>| {
        let mut request = http_types::Request::post(PATH);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        request.body(b"{}".to_vec()).unwrap()
    };
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        assert_eq!(call(&api, send(Some(good))).await.faults().0, 422, "{good}");
    }
    for bad in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/json; charset=latin1"),
        Some("application/jsonx"),
        Some("application/merge-patch+json"),
        Some("multipart/form-data; boundary=x"),
    ] {
        assert_eq!(call(&api, send(bad)).await.faults().1, "unsupported_media_type", "{bad:?}");
    }
    let mut twice = send(Some("application/json"));
    twice.headers_mut().append("content-type", "text/plain".parse().unwrap());
    assert_eq!(call(&api, twice).await.faults().1, "bad_header");
}

#[tokio::test]
async fn a_patch_tells_absent_from_null() {
    let api = api(&[&update_order]);
    let send = |body: &str| {
        http_types::Request::patch(PATH)
            .header("content-type", "application/json")
            .body(body.as_bytes().to_vec())
            .unwrap()
    };
    for (body, text) in [
        ("{}", "Keep Keep"),
        (r#"{"note":null}"#, "Keep To(None)"),
        (r#"{"name":"x","note":"y"}"#, r#"To("x") To(Some("y"))"#),
    ] {
        assert_eq!(call(&api, send(body)).await.json()["text"], text);
    }
    assert_eq!(call(&api, send(r#"{"name":null}"#)).await.faults().2, ["body /name type"]);
    assert_eq!(call(&api, send(r#"{"name":"four"}"#)).await.faults().2, ["body /name length"]);
}

#[tokio::test]
async fn too_large() {
    let api = api(&[&create_order]);
    let body = format!(r#"{{"email":"{}"}}"#, "x".repeat(1024 * 1024));
    let answer = call(&api, post(PATH, body)).await;
    assert_eq!(answer.faults().1, "body_too_large");
    let mut request = get("/health/live");
    request.headers_mut().insert("x-large", "y".repeat(20_000).parse().unwrap());
    assert_eq!(call(&api, request).await.faults(), (431, "headers_too_large".into(), vec![]));
    let mut request = get("/health/live");
    for i in 0..65 {
        request.headers_mut().append("x-many", i.to_string().parse().unwrap());
    }
    assert_eq!(call(&api, request).await.faults().0, 431);
    assert_eq!(call(&api, get(&format!("/health/live?{}", "a".repeat(20_000)))).await.faults().0, 431);
}
