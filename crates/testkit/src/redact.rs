use std::sync::LazyLock;

use kernel::Time;
use regex::{Captures, Regex};
use serde_json::Value;

/// The form of an id: a prefix and 26 characters of base32, the first at most `7`.
static ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[a-z][a-z0-9]*_[0-7][0-9a-hjkmnp-tv-z]{25}\b"));
/// What means to be an id.
static LIKE_ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[a-z][a-z0-9]{1,7}_[0-9A-Za-z]{24,28}\b"));
/// What means to be a time.
static LIKE_TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.,]*(?:Z|z|[+-]\d\d:?\d\d)?"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A value fit for a snapshot: ids become `[id]`, times `[time]`, tokens `[token]`, cursors `[cursor]`, request ids
/// `[request id]`. Each is checked before it goes: an id has its form; a time is RFC 3339 in UTC, spelled as
/// [`Time`] spells it; what stands under `id`, `…_id` or `…_at` is an id or a time.
///
/// # Panics
/// When one is malformed.
#[track_caller]
#[must_use]
pub fn redact(value: &Value) -> Value {
    under("", value)
}

#[track_caller]
fn under(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), under(k, v))).collect(),
        Value::Array(items) => items.iter().map(|item| under(key, item)).collect(),
        Value::String(words) => string(key, words).into(),
        other => {
            let is_moment = key.ends_with("_at") && !other.is_null();
            assert!(!(is_moment || key == "id" || key.ends_with("_id")) || other.is_null(), "`{key}` is {other}");
            other.clone()
        }
    }
}

#[track_caller]
fn string(key: &str, words: &str) -> String {
    let replaced = match key {
        "request_id" => "[request id]",
        "access_token" | "refresh_token" | "id_token" => "[token]",
        "next_cursor" => "[cursor]",
        _ => {
            let text = text(words);
            assert!(!(key == "id" || key.ends_with("_id")) || text == "[id]", "`{key}` is no id: {words}");
            assert!(!key.ends_with("_at") || text == "[time]", "`{key}` is no time: {words}");
            return text;
        }
    };
    assert!(!words.is_empty() && words.is_ascii(), "`{key}` is empty or not plain: {words}");
    replaced.to_owned()
}

/// The same for ids and times within a text, such as a path.
#[track_caller]
pub(crate) fn text(words: &str) -> String {
    let mut malformed = None;
    let words = LIKE_TIME.replace_all(words, |found: &Captures<'_>| {
        let is_well = found[0].parse::<Time>().is_ok_and(|time| time.to_string() == found[0]);
        if !is_well {
            malformed = Some(format!("a time is written like 2026-11-22T09:30:00Z, not {}", &found[0]));
        }
        "[time]"
    });
    let words = LIKE_ID.replace_all(&words, |found: &Captures<'_>| {
        if !ID.is_match(&found[0]) {
            malformed = Some(format!("an id is a prefix and 26 characters, not {}", &found[0]));
        }
        "[id]"
    });
    if let Some(malformed) = malformed {
        panic!("{malformed}");
    }
    words.into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_replaced() {
        let value = json!({
            "id": "pst_01h455vb4pex5vsknk084sn02q", "author_id": "usr_01h455vb4pex5vsknk084sn02q", "parent_id": null,
            "created_at": "2026-11-22T09:30:00Z", "updated_at": "2026-11-22T09:30:00.500000Z", "deleted_at": null,
            "instance": "/api/v1/posts/pst_01h455vb4pex5vsknk084sn02q", "request_id": "abc-1", "next_cursor": "xyz",
            "access_token": "a.b.c", "items": [{ "id": "pst_01h455vb4pex5vsknk084sn02q" }], "title": "plain", "n": 1,
        });
        let expected = json!({
            "id": "[id]", "author_id": "[id]", "parent_id": null,
            "created_at": "[time]", "updated_at": "[time]", "deleted_at": null,
            "instance": "/api/v1/posts/[id]", "request_id": "[request id]", "next_cursor": "[cursor]",
            "access_token": "[token]", "items": [{ "id": "[id]" }], "title": "plain", "n": 1,
        });
        assert_eq!(redact(&value), expected);
    }

    #[test]
    fn what_is_malformed_fails() {
        for value in [
            json!({ "id": "pst_01H455VB4PEX5VSKNK084SN02Q" }),
            json!({ "id": "pst_81h455vb4pex5vsknk084sn02q" }),
            json!({ "id": 7 }),
            json!({ "post_id": "7" }),
            json!({ "created_at": "2026-11-22 09:30:00Z" }),
            json!({ "created_at": "2026-11-22T09:30:00+00:00" }),
            json!({ "created_at": "2026-11-22T09:30:00.5Z" }),
            json!({ "created_at": 1_763_803_800 }),
            json!({ "created_at": "yesterday" }),
            json!({ "note": "since 2026-11-22T09:30:00" }),
            json!({ "note": "see pst_01h455vb4pex5vsknk084sn02" }),
            json!({ "request_id": "" }),
        ] {
            assert!(std::panic::catch_unwind(|| redact(&value)).is_err(), "{value}");
        }
    }
}
