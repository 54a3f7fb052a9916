use std::fmt;

use kernel::{Blob, Decimal, Id, Json, Role, Time};
use uuid::Uuid;

/// One parameter of a statement, in the form both databases can take.
///
/// Printing it shows its kind and size, never its content: drivers log parameters, and parameters are people's data.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// An id: 16 bytes, or `uuid`.
    Id(Uuid),
    /// A moment: microseconds since 1970, or `timestamptz`.
    Time(Time),
    /// Yes or no: 1 and 0, or `boolean`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text. The NUL character is refused: PostgreSQL cannot hold it.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// JSON: canonical text, or `jsonb`.
    Json(serde_json::Value),
    /// A decimal, as a count of its smallest unit.
    Decimal(i64),
}

impl Value {
    /// What it is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Id(_) => "id",
            Value::Time(_) => "time",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Text(_) => "text",
            Value::Blob(_) => "blob",
            Value::Json(_) => "json",
            Value::Decimal(_) => "decimal",
        }
    }

    /// Whether it holds the NUL character anywhere, which SQLite would keep and PostgreSQL refuse.
    pub(crate) fn has_nul(&self) -> bool {
        match self {
            Value::Text(text) => text.contains('\0'),
            Value::Json(json) => json_has_nul(json),
            _ => false,
        }
    }
}

fn json_has_nul(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(json_has_nul),
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || json_has_nul(value))
        }
        _ => false,
    }
}

/// The one text of a JSON value: names sorted, whatever order they arrived in and whichever features are on.
pub(crate) fn canonical_json(json: &serde_json::Value) -> String {
    let mut json = Json::new(json.clone()).into_inner();
    json.sort_all_objects();
    json.to_string()
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "text of {} bytes", text.len()),
            Value::Blob(bytes) => write!(f, "blob of {} bytes", bytes.len()),
            other => f.write_str(other.kind()),
        }
    }
}

impl<K> From<Id<K>> for Value
where
    K: kernel::IdKind,
{
    fn from(id: Id<K>) -> Self {
        Value::Id(id.as_uuid())
    }
}

impl<K> From<&Id<K>> for Value
where
    K: kernel::IdKind,
{
    fn from(id: &Id<K>) -> Self {
        Value::Id(id.as_uuid())
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Value::Id(id)
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Self {
        Value::Time(time)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Value::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(value.into())
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Value::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Value::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Blob(bytes)
    }
}

impl From<Blob> for Value {
    fn from(blob: Blob) -> Self {
        Value::Blob(blob.0)
    }
}

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Self {
        Value::Blob(bytes.clone())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Blob(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Value::Blob(bytes.to_vec())
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Value::Json(json.into_inner())
    }
}

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        Value::Json(json.value().clone())
    }
}

impl<const SCALE: u32> From<Decimal<SCALE>> for Value {
    fn from(decimal: Decimal<SCALE>) -> Self {
        Value::Decimal(decimal.as_minor())
    }
}

impl From<Role> for Value {
    fn from(role: Role) -> Self {
        Value::Text(role.name().to_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// The parameters of a statement, each by `Into<Value>`: `&params![id, "name"]` for `$1` and `$2`.
#[macro_export]
macro_rules! params {
    () => {{
        let none: [$crate::Value; 0] = [];
        none
    }};
    ($($value:expr),+ $(,)?) => {
        [$($crate::Value::from($value)),+]
    };
}

/// `count` placeholders from number `from` on, for lists whose length is known only at run time:
/// `placeholders(3, 3)` is `$3, $4, $5`.
pub fn placeholders(from: usize, count: usize) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(count * 5);
    for number in from..from + count {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "${number}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_from_where_they_are_told() {
        assert_eq!(placeholders(3, 3), "$3, $4, $5");
        assert_eq!(placeholders(1, 0), "");
    }

    #[test]
    fn params_take_nothing_and_anything() {
        let none: &[Value] = &params![];
        assert!(none.is_empty());
        let some: &[Value] = &params![1, "a", None::<bool>, Some(2i64), vec![1u8]];
        assert_eq!(some, [Value::Int(1), Value::Text("a".into()), Value::Null, Value::Int(2), Value::Blob(vec![1])]);
    }

    #[test]
    fn a_value_does_not_print_its_content() {
        let shown = format!("{:?}", params!["hunter2", Json::new(serde_json::json!({"a": "hunter2"})), 42]);
        assert_eq!(shown, "[text of 7 bytes, json, int]");
    }

    #[test]
    fn json_has_one_text() {
        assert_eq!(
            canonical_json(&serde_json::json!({"b": 1, "a": {"d": 1e16, "c": 2}})),
            r#"{"a":{"c":2,"d":10000000000000000},"b":1}"#
        );
    }
}
