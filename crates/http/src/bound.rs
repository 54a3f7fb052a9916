//! The longest body that a published schema lets through, in bytes. A log-in of an address and a password needs no
//! mebibyte: what is longer is refused before it is read, and before anybody is asked who calls.

use std::collections::BTreeMap;

use serde_json::Value;

/// A number of any length is the same number; more than this nobody writes.
const NUMBER: usize = 64;

/// A character at its longest: two escapes of a surrogate pair.
const CHARACTER: usize = 12;

/// Deeper than any schema that is not recursive.
const DEEPEST: usize = 32;

/// The longest JSON without blanks that this schema lets through, every character written as an escape (RFC 8259 section
/// 7). None where it has no end: a text without `maxLength`, a list without `maxItems`, an object with fields of any name.
pub(crate) fn most_bytes(schema: &Value, all: &BTreeMap<String, Value>) -> Option<usize> {
    most(schema, all, 0)
}

fn most(schema: &Value, all: &BTreeMap<String, Value>, depth: usize) -> Option<usize> {
    if depth > DEEPEST {
        return None;
    }
    let next = |schema: &Value| most(schema, all, depth + 1);
    let size = |value: &Value| usize::try_from(value.as_u64()?).ok();
    if let Some(name) = schema["$ref"].as_str() {
        return next(all.get(name.rsplit('/').next()?)?);
    }
    if let Some(one) = schema.get("const") {
        return Some(written(one));
    }
    if let Some(options) = schema["enum"].as_array() {
        return options.iter().map(written).max();
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(branches) = schema[word].as_array() {
            return longest(branches.iter().map(next));
        }
    }
    let of_kind = |kind: &str| match kind {
        "null" | "boolean" => Some("false".len()),
        "integer" | "number" => Some(NUMBER),
        "string" => text(size(&schema["maxLength"])?),
        "array" => {
            let (items, each) = (size(&schema["maxItems"])?, next(schema.get("items")?)?);
            items.checked_mul(each.checked_add(1)?)?.checked_add(2)
        }
        "object" if schema["additionalProperties"] == false && schema.get("patternProperties").is_none() => {
            let fields = schema["properties"].as_object();
            fields.into_iter().flatten().try_fold(2usize, |sum, (name, value)| {
                // The name, a colon, the value, a comma.
                sum.checked_add(text(name.chars().count())?)?.checked_add(next(value)?)?.checked_add(2)
            })
        }
        _ => None,
    };
    match &schema["type"] {
        Value::String(kind) => of_kind(kind),
        Value::Array(kinds) => longest(kinds.iter().map(|kind| of_kind(kind.as_str()?))),
        _ => None,
    }
}

/// The longest of all; none where one has no end.
fn longest(all: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    all.reduce(|one, other| Some(one?.max(other?))).flatten()
}

fn text(characters: usize) -> Option<usize> {
    characters.checked_mul(CHARACTER)?.checked_add(2)
}

/// One given value, however it is written.
fn written(value: &Value) -> usize {
    value.to_string().len() * CHARACTER
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bound(schema: Value) -> Option<usize> {
        let all = json!({
            "Name": { "type": "string", "maxLength": 10 },
            "Tree": { "type": "object", "properties": { "sub": { "$ref": "#/components/schemas/Tree" } },
                "additionalProperties": false },
        });
        most_bytes(&schema, &serde_json::from_value(all).unwrap())
    }

    #[test]
    fn a_schema_with_an_end_has_a_longest_body() {
        let name = json!({ "$ref": "#/components/schemas/Name" });
        assert_eq!(bound(name.clone()), Some(122));
        assert_eq!(bound(json!({ "type": ["string", "null"], "maxLength": 1 })), Some(14));
        assert_eq!(bound(json!({ "anyOf": [name, { "type": "null" }] })), Some(122));
        assert_eq!(bound(json!({ "type": "string", "enum": ["a", "bcd"] })), Some(60));
        assert_eq!(bound(json!({ "type": "array", "maxItems": 3, "items": { "type": "boolean" } })), Some(20));
        let object = json!({ "type": "object", "properties": { "n": { "type": "integer" }, "b": { "type": "boolean" } },
            "additionalProperties": false });
        assert_eq!(bound(object), Some(2 + 14 + 64 + 2 + 14 + 5 + 2));
    }

    #[test]
    fn a_schema_without_an_end_has_none() {
        for schema in [
            json!({}),
            json!(true),
            json!({ "type": "string" }),
            json!({ "type": "array", "items": { "type": "null" } }),
            json!({ "type": "array", "maxItems": 3 }),
            json!({ "type": "object", "properties": {} }),
            json!({ "anyOf": [{ "type": "null" }, { "type": "string" }] }),
            json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false }),
            json!({ "$ref": "#/components/schemas/Tree" }),
            json!({ "$ref": "#/components/schemas/Nowhere" }),
            json!({ "type": "string", "maxLength": u64::MAX }),
        ] {
            assert_eq!(bound(schema.clone()), None, "{schema}");
        }
    }
}
