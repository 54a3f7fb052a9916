//! Query strings: pairs first, then values of the types that the schema names, then the same validation as a body.

use std::borrow::Cow;

use kernel::{Faults, Place};
use serde_json::{Map, Value};

use crate::schema::{validate_value, validator};
use crate::{InputType, RequestError};

/// Decoded name-value pairs in the order sent, no name twice.
pub type QueryPairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Reads `application/x-www-form-urlencoded` pairs (URL standard, section 5.1), strictly.
///
/// # Errors
/// On bad UTF-8 or a repeated name.
pub fn parse_pairs(query: &str) -> Result<QueryPairs<'_>, RequestError> {
    let mut pairs: QueryPairs<'_> = Vec::new();
    for piece in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if pairs.iter().any(|(known, _)| *known == name) {
            let shown: String = name.chars().take(100).collect();
            return Err(RequestError::RepeatedField { name: shown, is_parameter: true });
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn decode(text: &str) -> Result<Cow<'_, str>, RequestError> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(&spaced).collect();
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| RequestError::MalformedQuery)
}

/// Reads a query string as `T`.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read<T: InputType>(query: &str) -> Result<T, RequestError> {
    let pairs = parse_pairs(query)?;
    let validator = validator::<T>();
    let properties = validator.as_ref().and_then(|v| v.schema().get("properties"));
    let mut object = Map::new();
    for (name, text) in pairs {
        let property = properties.and_then(|p| p.get(name.as_ref()));
        let value = typed(&text, property);
        object.insert(name.into_owned(), value);
    }
    validate_value(Value::Object(object), Place::Query).map_err(|faults: Faults| RequestError::Invalid(faults.into()))
}

/// The text as the type that the schema names, where it reads as one; else as text, which the schema then refuses.
fn typed(text: &str, schema: Option<&Value>) -> Value {
    let is = |kind: &str| {
        schema.and_then(|s| s.get("type")).is_some_and(|t| match t {
            Value::String(one) => one == kind,
            Value::Array(many) => many.iter().any(|one| one == kind),
            _ => false,
        })
    };
    if is("integer") || is("number") {
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        if is("number")
            && let Ok(number) = text.parse::<f64>()
            && let Some(number) = serde_json::Number::from_f64(number)
        {
            return Value::Number(number);
        }
    }
    match text {
        "true" if is("boolean") => Value::Bool(true),
        "false" if is("boolean") => Value::Bool(false),
        _ if is("array") => Value::Array(text.split(',').map(Value::from).collect()),
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_single() {
        let pairs = parse_pairs("a=1&b=%ED%95%9C+x&&c").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_ref(), b.as_ref())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "한 x"), ("c", "")]);
        assert_eq!(parse_pairs("a=%ff"), Err(RequestError::MalformedQuery));
        assert!(matches!(parse_pairs("a=1&%61=2"), Err(RequestError::RepeatedField { .. })));
    }
}
