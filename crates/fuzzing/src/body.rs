use std::cell::RefCell;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::LazyLock;

use jsonschema::Validator;
use mainstay::kernel::{Json as AnyJson, nfc, parse_json};
use mainstay::prelude::*;
use serde_json::{Value, json};
use testkit::{App, Setup};

use crate::bytes::Bytes;
use crate::run::{self, Stage};

/// One of a few words.
#[input]
#[derive(Debug, serde::Serialize)]
pub enum Colour {
    Red,
    DarkGreen,
    Blue,
}

/// A part of another input.
#[input]
#[derive(Debug, serde::Serialize)]
pub struct Line {
    /// What.
    #[check(length(min = 1, max = 5))]
    sku: String,
    /// How many.
    #[check(range(min = 1, max = 9))]
    count: i32,
    /// In which colour.
    colour: Option<Colour>,
}

/// Texts, and what is inside of what.
#[input]
#[derive(Debug, serde::Serialize)]
pub struct NewOrder {
    /// Who orders.
    #[check(email)]
    email: String,
    /// What is ordered.
    #[check(length(min = 1, max = 3))]
    lines: Vec<Line>,
    /// A word of three capitals.
    #[check(pattern = "^[A-Z]{3}$")]
    #[serde(rename = "couponCode")]
    coupon: Option<String>,
    /// Notes by their name.
    notes: Option<BTreeMap<String, String>>,
    /// One line more.
    gift: Option<Line>,
    /// Anything.
    #[serde(default)]
    extra: AnyJson,
}

/// Numbers, and texts that mean something.
#[input]
#[derive(Debug, serde::Serialize)]
pub struct NewThing {
    /// Any whole number.
    whole: i64,
    /// A smaller one.
    small: i32,
    /// One without a sign.
    natural: u32,
    /// Any number.
    real: f64,
    /// Some numbers.
    #[check(range(min = -0.5, max = 1000))]
    bounded: Option<f64>,
    /// Money.
    price: Decimal<2>,
    /// A moment.
    at: Time,
    /// A person.
    person: UserId,
    /// Bytes.
    #[check(length(max = 16))]
    bytes: Blob,
    /// Yes or no.
    flag: bool,
}

/// A change.
#[input]
#[derive(Debug)]
pub struct ThingPatch {
    /// May not be null.
    #[check(length(min = 1, max = 8))]
    name: PatchField<String>,
    /// May be null.
    note: PatchField<Option<String>>,
    /// A number.
    #[check(range(min = 0, max = 100))]
    level: PatchField<Option<i64>>,
    /// A line, or none.
    line: PatchField<Option<Line>>,
}

/// What was understood.
#[view]
pub struct Echo {
    /// The input, as it is.
    body: AnyJson,
}

fn echo(value: &impl serde::Serialize) -> Json<Echo> {
    Json(Echo { body: AnyJson::new(serde_json::to_value(value).expect("an input can be written")) })
}

/// Order.
#[post("/orders")]
async fn create_order(Valid(new): Valid<NewOrder>) -> Result<Json<Echo>, StoreError> {
    Ok(echo(&new))
}

/// Make a thing.
#[post("/things")]
async fn create_thing(Valid(new): Valid<NewThing>) -> Result<Json<Echo>, StoreError> {
    Ok(echo(&new))
}

/// Change a thing.
#[patch("/things")]
async fn update_thing(Valid(patch): Valid<ThingPatch>) -> Result<Json<Echo>, StoreError> {
    let mut body = serde_json::Map::new();
    let mut put = |name: &str, value: Option<Value>| value.map(|value| body.insert(name.to_owned(), value));
    put("name", patch.name.as_option().map(|v| json!(v)));
    put("note", patch.note.as_option().map(|v| json!(v)));
    put("level", patch.level.as_option().map(|v| json!(v)));
    put("line", patch.line.as_option().map(|v| json!(v)));
    Ok(echo(&body))
}

fn domain() -> Domain {
    Domain::new("echo").endpoint(create_order).endpoint(create_thing).endpoint(update_thing)
}

const OPERATIONS: [(&str, &str, &str); 3] = [
    ("post", "/api/v1/orders", "NewOrder"),
    ("post", "/api/v1/things", "NewThing"),
    ("patch", "/api/v1/things", "ThingPatch"),
];

/// The published schemas, read by the validator as it stands: with its own formats, and with none.
struct Published {
    strict: Validator,
    lenient: Validator,
}

fn published(document: &Value, name: &str) -> Published {
    let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    let compile = |has_formats: bool| {
        let options = jsonschema::draft202012::options().should_validate_formats(has_formats);
        options.build(&schema).expect("a published schema is one")
    };
    Published { strict: compile(true), lenient: compile(false) }
}

static PUBLISHED: LazyLock<[Published; 3]> = LazyLock::new(|| {
    on_stage(async |app| {
        let document = app.running().api.document_value();
        OPERATIONS.map(|(_, _, name)| published(&document, name))
    })
});

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

fn setup() -> Setup {
    App::with(domain)
}

fn on_stage<T>(test: impl AsyncFnOnce(App) -> T) -> T {
    run::on(&STAGE, setup, async |_: &App| {}, test)
}

/// Rules that a JSON Schema does not hold, or holds only as a format: by these alone may we refuse what it accepts.
const BEYOND_THE_SCHEMA: [&str; 7] =
    ["email", "format", "nul_character", "control_character", "direction_control", "repeated", "too_complex"];

/// JSON bodies: what is accepted, the published schema accepts, and the other way round; a refusal names what is wrong;
/// what was understood is what was sent.
///
/// The first byte says to which operation the rest is sent.
pub fn body(data: &[u8]) {
    let mut bytes = Bytes(data);
    let index = usize::from(bytes.byte()) % OPERATIONS.len();
    let sent = bytes.0;
    let published = &PUBLISHED[index];
    let (method, path, _) = OPERATIONS[index];
    on_stage(async |app| {
        let send = |bytes: &[u8]| {
            let method = if method == "post" { app.post(path) } else { app.patch(path) };
            method.body("application/json", bytes.to_vec()).send()
        };
        let response = send(sent).await;
        let shown = String::from_utf8_lossy(sent);
        match response.status() {
            200 => {
                let value: Value = serde_json::from_slice(sent).expect("what is accepted is JSON");
                let value = normalized(&value);
                // Whether an A-label stands for a word is IDNA's to say; the address is well-formed all the same.
                let is_idna = |value: &Value| value.as_str().is_some_and(|text| text.contains("xn--"));
                let errors = published.strict.iter_errors(&value).filter(|error| !is_idna(error.instance()));
                let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "accepted, though the published schema refuses it: {shown}: {errors:?}");
                let echo = response.json()["body"].clone();
                assert!(is_same(&value, &echo), "understood {echo} from {shown}");
                let again = send(&serde_json::to_vec(&echo).expect("JSON")).await;
                assert_eq!(again.status(), 200, "what was understood is accepted in turn: {echo}: {again:?}");
                assert_eq!(again.json()["body"], echo);
            }
            422 => {
                let errors = response.errors();
                assert!(!errors.is_empty(), "a refusal names an error: {shown}");
                let value: Value = serde_json::from_slice(sent).expect("what is not JSON is malformed, not invalid");
                let is_explained = errors.iter().all(|(_, code)| BEYOND_THE_SCHEMA.contains(&code.as_str()));
                assert!(
                    is_explained || !published.lenient.is_valid(&value),
                    "refused, though the published schema accepts it: {shown}: {errors:?}"
                );
            }
            400 => assert!(parse_json(sent).is_err(), "malformed, though it is JSON: {shown}"),
            status => panic!("{status} for {shown}"),
        }
    });
}

/// The texts in NFC, but for those of `extra`, which is kept as it is.
fn normalized(value: &Value) -> Value {
    match value {
        Value::String(text) => nfc(text).into(),
        Value::Array(items) => items.iter().map(normalized).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| match name.as_str() {
                "extra" => (name.clone(), field.clone()),
                name => (nfc(name).into_owned(), normalized(field)),
            })
            .collect(),
        other => other.clone(),
    }
}

/// Whether what was understood is what was sent. A time and an amount have several spellings; a field that was not sent is
/// null.
fn is_same(sent: &Value, understood: &Value) -> bool {
    match (sent, understood) {
        (Value::Object(sent), Value::Object(understood)) => {
            understood.iter().all(|(name, value)| is_same(sent.get(name).unwrap_or(&Value::Null), value))
                && sent.keys().all(|name| understood.contains_key(name))
        }
        (Value::Array(sent), Value::Array(understood)) => {
            sent.len() == understood.len() && sent.iter().zip(understood).all(|(a, b)| is_same(a, b))
        }
        (Value::Number(sent), Value::Number(understood)) => sent.as_f64() == understood.as_f64(),
        (Value::String(sent), Value::String(understood)) => {
            sent == understood || is_alike::<Time>(sent, understood) || is_alike::<Decimal<2>>(sent, understood)
        }
        _ => sent == understood,
    }
}

/// Whether both are spellings of one value.
fn is_alike<T: FromStr + PartialEq>(one: &str, other: &str) -> bool {
    matches!((one.parse::<T>(), other.parse::<T>()), (Ok(one), Ok(other)) if one == other)
}
