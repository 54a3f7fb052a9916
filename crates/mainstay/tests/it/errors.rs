//! Bad bodies, each with its exact answer. All errors of one body come back at once, by wire name.

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
    for (count, even, error) in [
        ("1.0", "3.0", "body /even rule"),
        ("10.0", "2", "body /lines/0/count range"),
        ("1.5", "2.0", "body /lines/0/count type"),
    ] {
        let (status, _, found) = call(&api, post(PATH, with(count, even))).await.errors();
        assert_eq!((status, found), (422, vec![error.to_owned()]), "{count} {even}");
    }
    let (status, _, found) = call(&api, post(PATH, with("1.0", "1e19"))).await.errors();
    assert_eq!((status, found), (422, vec!["body /even not_acceptable".to_owned()]));
}

/// Lines without end.
#[input]
#[derive(Debug)]
pub struct Bulk {
    /// They.
    #[check(length(min = 2))]
    lines: Vec<Line>,
}

/// Order in bulk.
#[post("/bulk")]
pub async fn create_bulk(Valid(bulk): Valid<Bulk>) -> Result<Json<OrderView>, StoreError> {
    Ok(Json(OrderView { text: bulk.lines.len().to_string() }))
}

/// A mebibyte of any shape is refused with a short answer. What it takes to find it is bounded by what is counted:
/// `kernel::parse_json` has the bounds.
#[tokio::test]
async fn whatever_a_refused_body_is_made_of_its_answer_is_short() {
    let api = api(&[&create_order]);
    let fill = |item: &str| vec![item; 820_000 / (item.len() + 1)].join(",");
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let order = |rest: &str| format!(r#"{{"email":"a@example.com","lines":[{{"sku":"x","count":1}}]{rest}}}"#);
    let names: Vec<String> = (0..60_000).map(|n| format!("\"{n:08}\":0")).collect();
    let long_names: Vec<String> = (0..50).map(|n| format!("\"{}{n}\":0", "n".repeat(16_000))).collect();
    let good = r#"{"sku":"x","count":1}"#;
    for (shape, body, error) in [
        ("deep lists for a text", format!(r#"{{"email":[{}]}}"#, fill(&deep(120))), "/email type"),
        ("objects for a text", format!(r#"{{"email":[{}]}}"#, fill(r#"{"":0}"#)), "/email type"),
        ("lists for nothing", order(&format!(r#","x":[{}]"#, fill("[0]"))), "/x unknown_field"),
        ("many names", order(&format!(",{}", names.join(","))), "not_acceptable"),
        ("long names", order(&format!(",{}", long_names.join(","))), "… unknown_field"),
        ("many errors", format!(r#"{{"lines":[{}]}}"#, fill("{}")), "/lines/0/sku required"),
        ("many good lines", format!(r#"{{"email":"a@example.com","lines":[{}]}}"#, fill(good)), "/lines length"),
        ("a long text", format!(r#"{{"email":"{}","lines":[]}}"#, "\\u0061".repeat(130_000)), "/email email"),
        ("too deep", order(&format!(r#","extra":{}"#, deep(65))), "too_complex"),
        ("too much", order(&format!(r#","extra":[{}]"#, fill("0"))), "too_complex"),
    ] {
        let answer = call(&api, post(PATH, body)).await;
        assert!(answer.body.len() < 128 * 1024, "{shape}: {}", answer.body.len());
        let (status, code, errors) = answer.errors();
        assert_eq!((status, code.as_str()), (422, "invalid_request"), "{shape}");
        assert!(errors.len() <= 100 && errors.iter().any(|found| found.ends_with(error)), "{shape}: {errors:?}");
    }
    // What is well formed as far as a tree is made of it, and breaks behind it.
    for body in
        [order("") + "x", format!(r#"{{"email":[{},"#, fill("0")), format!(r#"{{"email":"","lines":[{}}}"#, fill(good))]
    {
        assert_eq!(call(&api, post(PATH, body)).await.json()["code"], "malformed_json");
    }
    // As much as may be is taken.
    for extra in [deep(64), format!("[{}]", vec!["0"; 99_999].join(","))] {
        assert_eq!(call(&api, post(PATH, order(&format!(r#","extra":{extra}"#)))).await.status.as_u16(), 200);
    }
}

/// Of more than a thousand values, the answer lists all errors in the first thousand, or an error behind them.
#[tokio::test]
async fn a_long_list_is_explained_from_its_beginning() {
    let api = api(&[&create_bulk]);
    let send = async |lines: Vec<&str>| {
        call(&api, post("/api/v1/bulk", format!(r#"{{"lines":[{}]}}"#, lines.join(",")))).await
    };
    let good = r#"{"sku":"x","count":1}"#;
    let with = |at: usize, line: &'static str| {
        let mut lines = vec![good; 2000];
        lines[at] = line;
        lines
    };
    assert_eq!(send(vec![good; 2000]).await.json()["text"], "2000");
    // 1.0 is a whole number there too.
    for at in [0, 1999] {
        assert_eq!(send(with(at, r#"{"sku":"x","count":1.0}"#)).await.json()["text"], "2000");
    }
    for (lines, errors) in [
        (with(0, r#"{"sku":1,"count":""}"#), vec!["body /lines/0/count type", "body /lines/0/sku type"]),
        // Errors against its rules are listed for every item, wherever it is.
        (
            with(1999, r#"{"sku":"toolong","count":10}"#),
            vec!["body /lines/1999/count range", "body /lines/1999/sku length"],
        ),
        (with(1999, r#"{"sku":1,"count":""}"#), vec!["body /lines/1999/sku not_acceptable"]),
        (with(1999, r#"{"sku":"x","count":1.5}"#), vec!["body /lines/1999/count not_acceptable"]),
    ] {
        let (status, _, found) = send(lines).await.errors();
        assert_eq!((status, found), (422, errors.iter().map(ToString::to_string).collect()));
    }
}

/// A change of an order.
#[input]
#[derive(Debug)]
pub struct OrderPatch {
    /// May not be null.
    #[check(length(max = 3))]
    name: PatchField<String>,
    /// May be null.
    note: PatchField<Option<String>>,
}

/// Change an order.
#[patch("/orders")]
async fn update_order(Valid(patch): Valid<OrderPatch>) -> Result<Json<OrderView>, StoreError> {
    Ok(Json(OrderView { text: format!("{:?} {:?}", patch.name, patch.note) }))
}

const PATH: &str = "/api/v1/orders";

#[tokio::test]
async fn every_error_of_a_body_at_once() {
    let api = api(&[&create_order]);
    let good = r#"{"email":"a@example.com","lines":[{"sku":"x","count":1}],"shipping":"next_day","couponCode":"ABC","even":2}"#;
    assert_eq!(call(&api, post(PATH, good)).await.status.as_u16(), 200);
    for (body, errors) in [
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
        let (status, code, found) = call(&api, post(PATH, body.to_string())).await.errors();
        let expected: Vec<String> = errors.iter().map(|f| format!("body {f}")).collect();
        assert_eq!((status, code.as_str()), (422, "invalid_request"), "{body}");
        assert_eq!(found, expected, "{body}");
    }
}

#[tokio::test]
async fn no_error_tells_of_rust() {
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
        let (found, name, _) = call(&api, post(PATH, body)).await.errors();
        assert_eq!((found, name.as_str()), (status, code), "{}", String::from_utf8_lossy(&body[..body.len().min(50)]));
    }
    let repeated = call(&api, post(PATH, r#"{"email":1,"email":2}"#)).await.json();
    assert_eq!(repeated["detail"], "The field `email` stands twice. Send it once.");
}

#[tokio::test]
async fn content_types() {
    let api = api(&[&create_order]);
    let send = |kind: Option<&str>| {
        let mut request = http::Request::post(PATH);
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
        assert_eq!(call(&api, send(Some(good))).await.errors().0, 422, "{good}");
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
        assert_eq!(call(&api, send(bad)).await.errors().1, "unsupported_media_type", "{bad:?}");
    }
    let mut twice = send(Some("application/json"));
    twice.headers_mut().append("content-type", "text/plain".parse().unwrap());
    assert_eq!(call(&api, twice).await.errors().1, "bad_header");
}

#[tokio::test]
async fn a_patch_tells_absent_from_null() {
    let api = api(&[&update_order]);
    let send = |body: &str| {
        http::Request::patch(PATH).header("content-type", "application/json").body(body.as_bytes().to_vec()).unwrap()
    };
    for (body, text) in [
        ("{}", "Keep Keep"),
        (r#"{"note":null}"#, "Keep To(None)"),
        (r#"{"name":"x","note":"y"}"#, r#"To("x") To(Some("y"))"#),
    ] {
        assert_eq!(call(&api, send(body)).await.json()["text"], text);
    }
    assert_eq!(call(&api, send(r#"{"name":null}"#)).await.errors().2, ["body /name type"]);
    assert_eq!(call(&api, send(r#"{"name":"four"}"#)).await.errors().2, ["body /name length"]);
}

#[tokio::test]
async fn too_large() {
    let api = api(&[&create_order]);
    let body = format!(r#"{{"email":"{}"}}"#, "x".repeat(1024 * 1024));
    let answer = call(&api, post(PATH, body)).await;
    assert_eq!(answer.errors().1, "body_too_large");
    let mut request = get("/health/live");
    request.headers_mut().insert("x-large", "y".repeat(20_000).parse().unwrap());
    assert_eq!(call(&api, request).await.errors(), (431, "headers_too_large".into(), vec![]));
    let mut request = get("/health/live");
    for i in 0..65 {
        request.headers_mut().append("x-many", i.to_string().parse().unwrap());
    }
    assert_eq!(call(&api, request).await.errors().0, 431);
    assert_eq!(call(&api, get(&format!("/health/live?{}", "a".repeat(20_000)))).await.errors().0, 431);
}

/// Texts of every profile, wherever a text can stand.
#[input]
#[derive(Debug)]
pub struct NewLabel {
    /// A name.
    #[check(name, length(min = 1, max = 3))]
    name: Option<String>,
    /// Names.
    #[check(name)]
    #[serde(default)]
    aliases: Vec<String>,
    /// A line.
    #[check(line)]
    title: Option<String>,
    /// A line with a form of its own.
    #[check(line, pattern = "^.가?$")]
    mark: Option<String>,
    /// Lines.
    #[check(text, length(max = 2))]
    body: Option<String>,
    /// What nothing is said of.
    plain: Option<String>,
    /// By name.
    #[serde(default)]
    notes: std::collections::BTreeMap<String, String>,
    /// A signature.
    #[check(opaque)]
    signature: Option<String>,
    /// A secret.
    secret: Option<mainstay::kernel::Secret<String>>,
    /// Data.
    #[serde(default)]
    data: Json2,
    /// A change.
    #[check(name)]
    renamed: PatchField<Option<String>>,
    /// Another part.
    part: Option<Box<Part>>,
    /// A number, to be wrong.
    number: Option<i64>,
}

/// A part.
#[input]
#[derive(Debug)]
pub struct Part {
    /// A line.
    #[check(line)]
    title: String,
}

/// Label.
#[post("/labels")]
async fn create_label(Valid(new): Valid<NewLabel>) -> Result<Json<OrderView>, StoreError> {
    let secret = new.secret.as_ref().map(|secret| secret.expose().clone());
    let NewLabel { name, aliases, title, mark, body, plain, notes, signature, data, renamed, part, .. } = new;
    let part = part.map(|part| part.title);
    let all = (name, aliases, title, mark, body, plain, notes, signature, secret, data.value().clone(), renamed, part);
    Ok(Json(OrderView { text: format!("{all:?}") }))
}

const LABELS: &str = "/api/v1/labels";
/// `각`, as macOS writes it.
const DECOMPOSED: &str = "\u{1100}\u{1161}\u{11a8}";

/// RFC 8264 and 8266: each text by its profile, wherever it stands; told by the same rule where only the schema looks,
/// because something else could not be read.
#[tokio::test]
async fn texts_are_judged_by_their_profile() {
    let api = api(&[&create_label]);
    for (body, errors) in [
        (json!({"name": "\u{1b}x"}), vec!["/name control_character"]),
        (json!({"name": "a\nb"}), vec!["/name line_break"]),
        (json!({"name": "\u{202e}a"}), vec!["/name direction_control"]),
        (json!({"name": "a\u{200b}"}), vec!["/name invisible_character"]),
        (json!({"name": "a\u{e000}"}), vec!["/name unassigned_character"]),
        (json!({"name": "a\u{378}"}), vec!["/name unassigned_character"]),
        (json!({"name": "\u{301}"}), vec!["/name combining_marks"]),
        (json!({"name": "  "}), vec!["/name nothing_visible"]),
        (json!({"name": "    "}), vec!["/name length", "/name nothing_visible"]),
        (json!({"name": ""}), vec!["/name length"]),
        (json!({"name": "a\0b"}), vec!["/name nul_character"]),
        (
            json!({"aliases": ["a", "b\nc", "\u{3164}"]}),
            vec!["/aliases/1 line_break", "/aliases/2 invisible_character"],
        ),
        (json!({"title": "a\r\nb"}), vec!["/title line_break"]),
        (json!({"title": "\u{2800}"}), vec!["/title nothing_visible"]),
        (json!({"title": "a\u{e0041}"}), vec!["/title invisible_character"]),
        (json!({"mark": "나다"}), vec!["/mark pattern"]),
        (json!({"mark": "\t"}), vec!["/mark control_character"]),
        (json!({"body": "\u{1b}"}), vec!["/body control_character"]),
        (json!({"body": "a\u{202d}"}), vec!["/body direction_control"]),
        (json!({"plain": "a\u{7}"}), vec!["/plain control_character"]),
        (json!({"plain": "a\0"}), vec!["/plain nul_character"]),
        (json!({"signature": "a\0", "secret": "\0"}), vec!["/secret nul_character", "/signature nul_character"]),
        (json!({"renamed": "a\tb"}), vec!["/renamed control_character"]),
        (json!({"part": {"title": "a\nb"}}), vec!["/part/title line_break"]),
        (json!({"notes": {"a": "b\u{1b}"}}), vec!["/notes/a control_character"]),
    ] {
        let expected = |more: &[&str]| -> Vec<String> {
            let mut all: Vec<String> = errors.iter().chain(more).map(|error| format!("body {error}")).collect();
            all.sort();
            all
        };
        assert_eq!(call(&api, post(LABELS, body.to_string())).await.errors().2, expected(&[]), "{body}");
        let mut unreadable = body.clone();
        unreadable["number"] = json!("x");
        let found = call(&api, post(LABELS, unreadable.to_string())).await.errors().2;
        assert_eq!(found, expected(&["/number type"]), "{body}");
    }
    // A name of a map is no value of the schema: it is found once all can be read.
    let named = json!({"notes": {"a\u{1b}": "b"}}).to_string();
    assert_eq!(call(&api, post(LABELS, named)).await.errors().2, ["body /notes control_character"]);
    let twice = json!({"notes": { (DECOMPOSED): "a", "각": "b" }}).to_string();
    assert_eq!(call(&api, post(LABELS, twice)).await.errors().2, [format!("body /notes/{DECOMPOSED} repeated")]);
}

/// Unicode Normalization Form C, but for what is not ours to change. Lengths count what is kept.
#[tokio::test]
async fn texts_are_kept_in_one_form() {
    let api = api(&[&create_label]);
    let three = DECOMPOSED.repeat(3);
    let body = json!({
        "name": format!("  {three} "), "aliases": [" a  b "], "title": DECOMPOSED, "mark": "\u{1100}\u{1161}", "body": "\r\n",
        "plain": DECOMPOSED, "notes": { (DECOMPOSED): DECOMPOSED }, "signature": DECOMPOSED, "secret": DECOMPOSED,
        "data": [DECOMPOSED], "renamed": "a\u{3000}b", "part": { "title": DECOMPOSED },
    });
    let answer = call(&api, post(LABELS, body.to_string())).await;
    let kept = format!(
        "{:?}",
        (
            Some("각각각"),
            ["a b"],
            Some("각"),
            Some("가"),
            Some("\r\n"),
            Some("각"),
            std::collections::BTreeMap::from([("각", "각")]),
            Some(DECOMPOSED),
            Some(DECOMPOSED),
            json!([DECOMPOSED]),
            PatchField::To(Some("a b")),
            Some("각"),
        )
    );
    assert_eq!(answer.json()["text"], kept);
    // The errors count it in the same way, when something else is wrong.
    let mut wrong = body;
    wrong["number"] = json!("x");
    assert_eq!(call(&api, post(LABELS, wrong.to_string())).await.errors().2, ["body /number type"]);
    wrong["name"] = json!(DECOMPOSED.repeat(4));
    let found = call(&api, post(LABELS, wrong.to_string())).await.errors().2;
    assert_eq!(found, ["body /name length", "body /number type"]);
}

#[tokio::test]
async fn the_document_says_which_profile() {
    let document = api(&[&create_label]).document_value();
    let fields = &document["components"]["schemas"]["NewLabel"]["properties"];
    for (field, format) in [("name", json!("name")), ("title", json!("line")), ("renamed", json!("name"))] {
        assert_eq!(fields[field]["format"], format, "{field}");
    }
    assert_eq!(fields["aliases"]["items"]["format"], "name");
    assert_eq!(fields["mark"]["pattern"], "^.가?$");
    for field in ["name", "title", "body", "plain", "signature", "secret"] {
        assert!(fields[field]["pattern"].as_str().unwrap().starts_with('^'), "{field}");
    }
    assert_eq!(
        (&fields["signature"]["pattern"], &fields["secret"]["format"]),
        (&json!("^[^\\u0000]*$"), &json!("password"))
    );
}
