use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON value of any shape, for a `json` column. Read strictly: a field repeated anywhere inside is refused, as is what
/// holds more than [`MOST_VALUES`](Self::MOST_VALUES) or is nested deeper than [`MOST_DEPTH`](Self::MOST_DEPTH), and
/// numbers are brought to the one form that both databases give back. (The NUL character is refused by `web`'s check,
/// with a pointer to it.)
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Json(Value);

impl Json {
    /// The most values that one is read with, those inside others counted too. As a tree a value takes up to a hundred times
    /// what it takes as text (`{"":0},` is an object of 632 bytes): a mebibyte of text must not become a hundred.
    pub const MOST_VALUES: usize = 100_000;

    /// How deep the arrays and objects of one that is read may be nested.
    pub const MOST_DEPTH: usize = 64;

    /// Whether reading stopped because a value is beyond one of these bounds.
    pub fn is_beyond(error: &serde_json::Error) -> bool {
        error.to_string().starts_with(BEYOND)
    }

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
        let left = Cell::new(Self::MOST_VALUES);
        Strict { left: &left, cut: None, deeper: Self::MOST_DEPTH }.deserialize(deserializer).map(Self::new)
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
    /// More fields than are worth a tree of them to say what is wrong with each.
    TooMany,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::Repeated(name) => write!(f, "the field `{name}` stands twice in one object"),
            JsonError::Syntax { line, column } => write!(f, "not JSON at line {line}, column {column}"),
            JsonError::TooDeep => f.write_str("nested deeper than 128 levels"),
            JsonError::TooMany => f.write_str("more fields than are read into a tree"),
        }
    }
}

impl std::error::Error for JsonError {}

const REPEATED: &str = "repeated field ";
const BEYOND: &str = "beyond what one JSON value may be";

/// The values of a body that is explained, after which lists are read no further.
const EXPLAINED: usize = 1000;
/// The number of values after which it is given up: they are all fields, and no schema has that many.
const MOST_EXPLAINED: usize = 2 * EXPLAINED;

/// JSON, as far as it is worth a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedJson {
    /// The tree.
    pub value: Value,
    /// Whether items are missing at the end of lists.
    pub is_cut: bool,
}

/// Reads JSON strictly, for the slow path that explains what is wrong with a body. Of its first 1,000 values it makes a tree;
/// beyond them it reads the rest of each list without one: a refused body costs about as much as a good one, however it is
/// made.
///
/// # Errors
/// What is wrong with it, at the first place.
pub fn parse_json(bytes: &[u8]) -> Result<ParsedJson, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let (left, cut) = (Cell::new(MOST_EXPLAINED), Cell::new(false));
    // How deep, serde_json bounds by itself.
    let strict = Strict { left: &left, cut: Some(&cut), deeper: usize::MAX };
    let value = strict.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    let value = value.map(|value| ParsedJson { value, is_cut: cut.get() });
    value.map_err(|error| {
        let text = error.to_string();
        if let Some(rest) = text.strip_prefix(REPEATED) {
            // serde_json appends ` at line …`; the name itself is quoted by us.
            let end = rest.rfind(" at line ").unwrap_or(rest.len());
            JsonError::Repeated(rest[..end].chars().take(100).collect())
        } else if text.starts_with("recursion limit") {
            JsonError::TooDeep
        } else if text.starts_with(BEYOND) {
            JsonError::TooMany
        } else {
            JsonError::Syntax { line: error.line(), column: error.column() }
        }
    })
}

/// Builds a [`Value`] and refuses repeated names, and what is too much.
#[derive(Clone, Copy)]
struct Strict<'a> {
    /// How many values more.
    left: &'a Cell<usize>,
    /// To be told that a list is not read to its end; none where each is.
    cut: Option<&'a Cell<bool>>,
    /// How many levels more.
    deeper: usize,
}

impl Strict<'_> {
    /// One level down.
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let deeper = self.deeper.checked_sub(1).ok_or_else(|| E::custom(BEYOND))?;
        Ok(Self { deeper, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| serde::de::Error::custom(BEYOND))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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
        let inside = self.inside()?;
        let mut items = Vec::new();
        loop {
            if let Some(cut) = self.cut
                && self.left.get() <= MOST_EXPLAINED - EXPLAINED
            {
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    cut.set(true);
                }
                return Ok(Value::Array(items));
            }
            match seq.next_element_seed(inside)? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(serde::de::Error::custom(format!("{REPEATED}{name}")));
            }
            let value = map.next_value_seed(inside)?;
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
        let parsed = parse_json(br#"{"a":[1,-2,3.5,null,true,"x"]}"#).unwrap();
        assert_eq!(parsed, ParsedJson { value: serde_json::json!({"a":[1,-2,3.5,null,true,"x"]}), is_cut: false });
    }

    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(fields) => fields.values().map(count).sum(),
            _ => 0,
        }
    }

    /// What a tree takes is its values: of a mebibyte of any shape there are no more than the bound.
    #[test]
    fn a_tree_is_bounded_whatever_its_text_is_made_of() {
        const MIB: usize = 1024 * 1024;
        let list = |item: &str| format!("[{item}{}]", format!(",{item}").repeat(MIB / (item.len() + 1)));
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let names = format!("{{{}\"\":0}}", (0..MIB / 12).map(|n| format!("\"{n:08}\":0,")).collect::<String>());
        for text in
            [list("0"), list("[]"), list("{}"), list("[0]"), list(r#"{"":0}"#), list("\"\""), list(&nested(100)), names]
        {
            let shape = &text[..24];
            match parse_json(text.as_bytes()) {
                // One value more for each list that is open.
                Ok(parsed) => assert!(parsed.is_cut && count(&parsed.value) <= EXPLAINED + 128, "{shape}"),
                Err(error) => assert!(error == JsonError::TooMany && text.starts_with('{'), "{shape}: {error}"),
            }
            match serde_json::from_str::<Json>(&text) {
                Ok(json) => assert!(count(json.value()) <= Json::MOST_VALUES, "{shape}"),
                Err(error) => assert!(Json::is_beyond(&error), "{shape}: {error}"),
            }
        }
        // One long text is one value.
        let long = format!("\"{}\"", "\\u0061".repeat(MIB / 6));
        assert_eq!(parse_json(long.as_bytes()).map(|parsed| count(&parsed.value)), Ok(1));
        // The bounds themselves.
        let items = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        for (values, kept) in [(EXPLAINED, EXPLAINED), (EXPLAINED + 1, EXPLAINED), (10 * EXPLAINED, EXPLAINED)] {
            let parsed = parse_json(items(values).as_bytes()).unwrap();
            assert_eq!((count(&parsed.value), parsed.is_cut), (kept, values > kept));
        }
        // What is not looked at is read all the same.
        assert!(matches!(parse_json((items(2 * EXPLAINED) + "]").as_bytes()), Err(JsonError::Syntax { .. })));
        assert!(serde_json::from_str::<Json>(&items(Json::MOST_VALUES)).is_ok());
        assert!(Json::is_beyond(&serde_json::from_str::<Json>(&items(Json::MOST_VALUES + 1)).unwrap_err()));
        assert!(serde_json::from_str::<Json>(&nested(Json::MOST_DEPTH)).is_ok());
        assert!(Json::is_beyond(&serde_json::from_str::<Json>(&nested(Json::MOST_DEPTH + 1)).unwrap_err()));
        assert!(parse_json(nested(127).as_bytes()).is_ok());
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
