use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON value of any shape, for a `json` column. Read strictly: a field repeated anywhere inside is refused, and
/// numbers are brought to the one form that both databases give back. (The NUL character is refused by `http`'s check,
/// with a pointer to it.)
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Json(Value);

impl Json {
    /// Takes a value, in canonical form.
    pub fn new(mut value: Value) -> Self {
        canonicalize(&mut value);
        Self(value)
    }

    /// The value.
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// The value, given away.
    pub fn into_inner(self) -> Value {
        self.0
    }
}

/// PostgreSQL's jsonb keeps numbers as decimals and prints them without an exponent, so `1e16` comes back as an
/// integer there and as a float from SQLite's text. Whole floats from 1e16 up to 64 bits become integers on both, and
/// minus zero becomes zero.
fn canonicalize(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(0.0);
            if float == 0.0 {
                *number = Number::from_f64(0.0).unwrap_or_else(|| 0.into());
            } else if float.fract() == 0.0 && (1e16..18_446_744_073_709_551_615.0).contains(&float) {
                *number = (float as u64).into();
            } else if float.fract() == 0.0 && (-9_223_372_036_854_775_808.0..=-1e16).contains(&float) {
                *number = (float as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(canonicalize),
        Value::Object(fields) => fields.values_mut().for_each(canonicalize),
        _ => {}
    }
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strict).map(Self::new)
    }
}

impl schemars::JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!(true)
    }
}

/// Why a body is not JSON we accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonError {
    /// A name stands twice in one object (RFC 8259 section 4: behaviour is unpredictable, so it is refused).
    Repeated(String),
    /// Not JSON: where it breaks.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Nested deeper than 128.
    TooDeep,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::Repeated(name) => write!(f, "the field `{name}` stands twice in one object"),
            JsonError::Syntax { line, column } => write!(f, "not JSON at line {line}, column {column}"),
            JsonError::TooDeep => f.write_str("nested deeper than 128 levels"),
        }
    }
}

impl std::error::Error for JsonError {}

const REPEATED: &str = "repeated field ";

/// Reads JSON strictly, for the slow path that explains what is wrong with a body.
///
/// # Errors
/// What is wrong with it, at the first place.
pub fn parse_json(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = deserializer.deserialize_any(Strict).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        let text = error.to_string();
        if let Some(rest) = text.strip_prefix(REPEATED) {
            // serde_json appends ` at line …`; the name itself is quoted by us.
            let end = rest.rfind(" at line ").unwrap_or(rest.len());
            JsonError::Repeated(rest[..end].chars().take(100).collect())
        } else if text.starts_with("recursion limit") {
            JsonError::TooDeep
        } else {
            JsonError::Syntax { line: error.line(), column: error.column() }
        }
    })
}

/// Builds a [`Value`] and refuses repeated names.
#[derive(Clone, Copy)]
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(serde::de::Error::custom(format!("{REPEATED}{name}")));
            }
            let value = map.next_value_seed(self)?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_json_refuses_what_is_ambiguous() {
        assert_eq!(parse_json(br#"{"a":1,"a":2}"#), Err(JsonError::Repeated("a".into())));
        assert_eq!(parse_json(br#"[{"b":{"c":1,"c":1}}]"#), Err(JsonError::Repeated("c".into())));
        assert!(matches!(parse_json(b"{\"a\":"), Err(JsonError::Syntax { line: 1, .. })));
        assert!(matches!(parse_json(b"{} x"), Err(JsonError::Syntax { .. })));
        assert_eq!(parse_json("[".repeat(10_000).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(
            parse_json(br#"{"a":[1,-2,3.5,null,true,"x"]}"#),
            Ok(serde_json::json!({"a":[1,-2,3.5,null,true,"x"]}))
        );
    }

    #[test]
    fn numbers_have_one_form() {
        let form = |text: &str| serde_json::from_str::<Json>(text).unwrap().value().to_string();
        assert_eq!(form("1e16"), "10000000000000000");
        assert_eq!(form("-0.0"), "0.0");
        assert_eq!(form("1e5"), "100000.0");
        assert_eq!(form("-1e18"), "-1000000000000000000");
    }
}
