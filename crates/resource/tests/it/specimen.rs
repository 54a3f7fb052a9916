//! A resource that uses every column type, optional and required. No platform crate knows of it.

use mainstay::kernel::Json;
use mainstay::prelude::*;
use mainstay::resource;
use mainstay::store::Migrations;
use serde_json::{Value, json};

#[derive(Debug)]
pub enum SpecimenKind {}
impl IdKind for SpecimenKind {
    const PREFIX: &'static str = "spc";
    const NAME: &'static str = "SpecimenId";
}

/// One of everything.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(read = owner, write = owner, cache = "1h", cache_lists = "1h")]
pub struct Specimen {
    /// Its id.
    #[resource(filter, sort)]
    pub id: Id<SpecimenKind>,
    /// Whose it is.
    #[resource(owner, filter)]
    pub owner_id: UserId,
    /// Text; the column's name is a word of SQL.
    #[resource(write, filter, sort)]
    #[check(length(max = 20))]
    pub order: String,
    /// Text or nothing.
    #[resource(write, filter, sort)]
    #[check(length(min = 1, max = 20))]
    pub note: Option<String>,
    /// A whole number.
    #[resource(write, filter, sort)]
    pub count: i64,
    /// A small number or nothing.
    #[resource(write, filter, sort)]
    #[check(range(min = -1000, max = 1000))]
    pub level: Option<i32>,
    /// Yes or no.
    #[resource(write, default = false, filter, sort)]
    pub flag: bool,
    /// Yes, no, or unknown.
    #[resource(write, filter, sort)]
    pub maybe: Option<bool>,
    /// Money.
    #[resource(write, filter, sort)]
    pub price: Decimal<2>,
    /// Money or nothing.
    #[resource(write, filter, sort)]
    pub discount: Option<Decimal<4>>,
    /// A moment.
    #[resource(write, filter, sort)]
    pub due: Time,
    /// A moment or nothing.
    #[resource(write, filter, sort)]
    pub done: Option<Time>,
    /// Any JSON.
    #[resource(write)]
    pub data: Json,
    /// Any JSON or nothing.
    #[resource(write, filter)]
    pub extra: Option<Json>,
    /// Bytes.
    #[resource(write)]
    #[check(length(max = 64))]
    pub bytes: Blob,
    /// Bytes or nothing.
    #[resource(write, filter)]
    pub thumb: Option<Blob>,
    /// Somebody.
    #[resource(write, filter, sort)]
    pub person: UserId,
    /// Somebody or nobody.
    #[resource(write, filter, sort)]
    pub helper: Option<UserId>,
    /// Not sent.
    #[resource(hidden, created)]
    pub made: Time,
    /// Not sent either, as it is now.
    #[resource(updated, filter, sort)]
    pub changed: Time,
}

const TABLE: &str = r#"
create table specimens (
    id id primary key,
    owner_id id not null,
    "order" text not null,
    note text,
    count int not null,
    level int,
    flag bool not null,
    maybe bool,
    price decimal not null,
    discount decimal,
    due time not null,
    done time,
    data json not null,
    extra json,
    bytes blob not null,
    thumb blob,
    person id not null,
    helper id,
    made time not null,
    changed time not null
);
create index specimens_owner_id on specimens (owner_id, id desc);
"#;

pub(crate) const TABLES: Migrations = Migrations { domain: "specimens", steps: &[("0001_specimens", TABLE)] };

pub(crate) fn domain() -> Domain {
    Domain::new("specimens").migrations(TABLES).resource(resource::of::<Specimen>())
}

/// Words that sort and compare in telling ways.
pub(crate) const WORDS: [&str; 12] = ["", "a", "A", "Ab", "aB", "b", "가", "나다", "é", "z_%\\", "'\"", "\u{1f600}"];

/// The n-th body.
pub(crate) fn body(n: usize) -> Value {
    let odd = n % 2 == 1;
    let or_null = |value: Value| if odd { value } else { Value::Null };
    json!({
        "order": WORDS[n % WORDS.len()],
        "note": or_null(json!(WORDS[1 + n % (WORDS.len() - 1)])),
        "count": ([0, -1, i64::MAX, i64::MIN, 7, 70][n % 6]),
        "level": or_null(json!((n as i64 * 37) % 1000 - 500)),
        "flag": n.is_multiple_of(3),
        "maybe": if n.is_multiple_of(4) { Value::Null } else { json!(odd) },
        "price": (["0.00", "-0.01", "10.00", "9.99", "123456789.10"][n % 5]),
        "discount": or_null(json!(format!("{n}.{:04}", n * 7 % 10_000))),
        "due": (["2026-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"][n % 4]),
        "done": or_null(json!("2030-06-01T12:00:00Z")),
        "data": ([json!(null), json!({"b": [1, -2.5, "가"], "a": {}}), json!([]), json!("x"), json!(1e300), json!(0.1)][n % 6]),
        "extra": or_null(json!({ "n": n })),
        "bytes": (["", "AA==", "AAE=", "/+8A"][n % 4]),
        "thumb": or_null(json!("aGk=")),
        "person": mainstay::kernel::UserId::from_uuid(uuid::Uuid::from_u128(n as u128 % 5)),
        "helper": or_null(json!(mainstay::kernel::UserId::from_uuid(uuid::Uuid::from_u128(n as u128 + 100)))),
    })
}
