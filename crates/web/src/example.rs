use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// How deep types may nest in each other before an example stops: one that holds itself has no end.
const DEEPEST: usize = 12;

/// A value of this schema, to send as it stands: made of the examples and defaults that it states, and of the plainest
/// values that fit its rules where it states none. Optional fields without either are left out.
pub(crate) fn of(schema: &Value, named: &BTreeMap<String, Value>) -> Value {
    at(schema, named, 0)
}

fn at(schema: &Value, named: &BTreeMap<String, Value>, depth: usize) -> Value {
    if let Some(value) = stated(schema) {
        return value.clone();
    }
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next())
        && let Some(schema) = named.get(name)
    {
        return at(schema, named, depth + 1);
    }
    let choices = ["anyOf", "oneOf", "allOf"].into_iter().find_map(|key| schema[key].as_array());
    if let Some(choice) = choices.and_then(|list| list.iter().find(|choice| choice["type"] != "null")) {
        return at(choice, named, depth + 1);
    }
    match kind(schema) {
        Some("object") => object(schema, named, depth),
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 100);
            let items = if schema["items"].is_object() { at(&schema["items"], named, depth + 1) } else { Value::Null };
            if items.is_null() { json!([]) } else { (0..least).map(|_| items.clone()).collect() }
        }
        Some("string") => text(schema).into(),
        Some("integer" | "number") => number(schema),
        Some("boolean") => true.into(),
        _ => Value::Null,
    }
}

/// What the schema itself says the value could be.
fn stated(schema: &Value) -> Option<&Value> {
    let first = |key: &str| schema[key].as_array().and_then(|list| list.iter().find(|value| !value.is_null()));
    schema.get("const").or_else(|| first("examples")).or_else(|| schema.get("default")).or_else(|| first("enum"))
}

fn kind(schema: &Value) -> Option<&str> {
    let name = schema["type"].as_str();
    name.or_else(|| schema["type"].as_array()?.iter().filter_map(Value::as_str).find(|name| *name != "null"))
}

fn object(schema: &Value, named: &BTreeMap<String, Value>, depth: usize) -> Value {
    let required: Vec<&str> =
        schema["required"].as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
    let mut fields = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_nullable = property["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"))
            || property["anyOf"].as_array().is_some_and(|list| list.iter().any(|choice| choice["type"] == "null"));
        if required.contains(&name.as_str()) || stated(property).is_some_and(|v| !v.is_null()) || !is_nullable {
            fields.insert(name.clone(), at(property, named, depth + 1));
        }
    }
    Value::Object(fields)
}

fn text(schema: &Value) -> String {
    match schema["format"].as_str() {
        Some("email") => return "ada@example.com".to_owned(),
        Some("date-time") => return "2026-01-31T12:00:00Z".to_owned(),
        Some("date") => return "2026-01-31".to_owned(),
        Some("uri") => return "https://example.com".to_owned(),
        Some("uuid") => return "019b4a00-0000-7000-8000-000000000000".to_owned(),
        _ => {}
    }
    let (least, most) = (schema["minLength"].as_u64().unwrap_or(0), schema["maxLength"].as_u64().unwrap_or(u64::MAX));
    let mut text = "text".to_owned();
    while (text.len() as u64) < least.min(10_000) {
        text.push_str(" text");
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    text.chars().take(most).collect()
}

fn number(schema: &Value) -> Value {
    let bound = |key: &str| schema.get(key).filter(|bound| bound.is_number());
    let is_above = |bound: &Value| bound.as_f64().is_some_and(|bound| bound > 1.0);
    let is_below = |bound: &Value| bound.as_f64().is_some_and(|bound| bound < 1.0);
    let outside = bound("minimum").filter(|b| is_above(b)).or_else(|| bound("maximum").filter(|b| is_below(b)));
    outside.cloned().unwrap_or_else(|| 1.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_valid() {
        let named = BTreeMap::from([
            ("Word".to_owned(), json!({ "enum": ["a", "b"] })),
            ("Tree".to_owned(), json!({ "type": "object", "properties": { "tree": { "$ref": "#/Tree" } } })),
        ]);
        let schema = json!({
            "type": "object",
            "properties": {
                "stated": { "type": "string", "examples": ["Ada"] },
                "plain": { "type": "string", "minLength": 6, "maxLength": 7 },
                "short": { "type": "string", "maxLength": 2 },
                "address": { "type": "string", "format": "email" },
                "chosen": { "$ref": "#/components/schemas/Word" },
                "assumed": { "type": "boolean", "default": false },
                "many": { "type": "array", "items": { "type": "integer", "minimum": 3, "maximum": 9 }, "minItems": 2 },
                "few": { "type": "number", "maximum": 0.5 },
                "maybe": { "type": ["string", "null"] },
                "must": { "type": ["integer", "null"] },
                "other": { "anyOf": [{ "$ref": "#/components/schemas/Word" }, { "type": "null" }] },
            },
            "required": ["must"],
        });
        assert_eq!(
            of(&schema, &named),
            json!({
                "stated": "Ada", "plain": "text te", "short": "te", "address": "ada@example.com", "chosen": "a",
                "assumed": false, "many": [3, 3], "few": 0.5, "must": 1,
            })
        );
        // It ends.
        assert!(of(&json!({ "$ref": "#/Tree" }), &named).is_object());
    }
}
