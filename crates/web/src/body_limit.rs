//! The longest body that a published schema lets through, in bytes. A log-in of an address and a password needs no
//! mebibyte: what is longer is refused before it is read, and before anybody is asked who calls. What is shorter is not
//! refused for its length, however its author's library writes JSON.

use std::collections::BTreeMap;

use serde_json::Value;

/// A number of any length is the same number; more than this nobody writes: a whole one has 20 digits.
const INTEGER: usize = 64;
/// The largest double written out has 309 digits before its point.
const NUMBER: usize = 384;

/// A character at its longest: two escapes of a surrogate pair.
const CHARACTER: usize = 12;

/// Deeper than any schema that is not recursive.
const DEEPEST: usize = 32;

/// What a level is indented by at most.
const INDENT: usize = 8;

/// The blanks before a value that stands on a line of its own, and round the colon after its name: as long as a person is
/// to read it.
const fn blanks(depth: usize) -> usize {
    "\r\n".len() + INDENT * depth + "  ".len()
}

/// The longest JSON that this schema lets through: every character is written as an escape (RFC 8259 section 7), and every
/// value on a line of its own. None where it has no end: a text without `maxLength`, a list without `maxItems`, an object
/// with fields of any name.
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
        "integer" => Some(INTEGER),
        "number" => Some(NUMBER),
        "string" => text(size(&schema["maxLength"])?),
        "array" => {
            let (items, each) = (size(&schema["maxItems"])?, next(schema.get("items")?)?);
            // The item, a comma; the brackets, the last on a line of its own.
            items.checked_mul(each.checked_add(1 + blanks(depth + 1))?)?.checked_add(2 + blanks(depth))
        }
        "object" if schema["additionalProperties"] == false && schema.get("patternProperties").is_none() => {
            let fields = schema["properties"].as_object();
            fields.into_iter().flatten().try_fold(2 + blanks(depth), |sum, (name, value)| {
                // The name, a colon, the value, a comma.
                let name = text(name.chars().count())?;
                sum.checked_add(name)?.checked_add(next(value)?)?.checked_add(2 + blanks(depth + 1))
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
        let array = json!({ "type": "array", "maxItems": 3, "items": { "type": "boolean" } });
        assert_eq!(bound(array), Some(3 * (12 + 5 + 1) + 2 + 4));
        let object = json!({ "type": "object", "properties": { "n": { "type": "integer" }, "b": { "type": "boolean" } },
            "additionalProperties": false });
        assert_eq!(bound(object), Some((12 + 14 + 1 + 64 + 1) + (12 + 14 + 1 + 5 + 1) + 2 + 4));
    }

    /// What writers of JSON make of the longest value fits: escaped, indented, with long numbers.
    #[test]
    fn the_longest_value_fits_however_it_is_written() {
        let flags = json!({ "type": "array", "maxItems": 500, "items": { "type": "boolean" } });
        let schema = json!({ "type": "object", "properties": {
            "text": { "type": "string", "maxLength": 1000 }, "flags": flags, "n": { "type": ["number", "null"] }
        }, "additionalProperties": false });
        let most = bound(schema).unwrap();
        let (emoji, long) = ("\\ud83d\\ude00".repeat(1000), format!("-1{}.0", "0".repeat(308)));
        let flags = vec!["false"; 500];
        let name = "\\u0074\\u0065\\u0078\\u0074";
        for (line, tab, colon) in [("", "", ":"), ("\n", "    ", ": "), ("\r\n", "\t\t\t\t\t\t\t\t", " : ")] {
            let flags = flags.join(&format!(",{line}{tab}{tab}"));
            let body = format!(
                "{{{line}{tab}\"{name}\"{colon}\"{emoji}\",{line}{tab}\"flags\"{colon}[{line}{tab}{tab}{flags}{line}{tab}],{line}{tab}\"n\"{colon}{long}{line}}}"
            );
            assert!(serde_json::from_str::<Value>(&body).is_ok());
            assert!(body.len() <= most, "{} of {most}", body.len());
        }
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
