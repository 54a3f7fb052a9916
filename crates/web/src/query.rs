//! Query strings: pairs first, then values of the types that the schema names, then the same validation as a body.

use std::borrow::Cow;

use kernel::{RequestPart, Text, Time, TimeError, ValidationErrors, text};
use serde_json::{Map, Number, Value};

use crate::schema::{validate_value, validator};
use crate::validate::{ITEMS, PARAMETERS, length_text};
use crate::{InputType, RequestError};

/// The most parameters of one query string: each is compared with those before it.
const MOST_PARAMETERS: usize = 100;

/// The most values of one parameter that is a list.
const MOST_ITEMS: usize = 100;

/// Decoded name-value pairs in the order sent, no name twice.
pub type QueryPairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Reads `application/x-www-form-urlencoded` pairs (URL standard, section 5.1), strictly.
///
/// # Errors
/// On more than a hundred, before anything is decoded; on bad UTF-8 or a repeated name.
pub fn parse_pairs(query: &str) -> Result<QueryPairs<'_>, RequestError> {
    let pieces = || query.split('&').filter(|p| !p.is_empty());
    if pieces().nth(MOST_PARAMETERS).is_some() {
        return Err(too_many("", MOST_PARAMETERS, PARAMETERS));
    }
    let mut pairs: QueryPairs<'_> = Vec::new();
    for piece in pieces() {
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

fn too_many(pointer: &str, most: usize, unit: Text) -> RequestError {
    let mut errors = ValidationErrors::new();
    if let Some(message) = length_text(None, Some(most as u64), unit) {
        errors.add(RequestPart::Query, pointer, "length", message);
    }
    RequestError::Invalid(errors.into())
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
        if value.as_array().is_some_and(|items| items.len() > MOST_ITEMS) {
            // A schema may have no bound, and would find each item that is wrong.
            return Err(too_many(&format!("/{name}"), MOST_ITEMS, ITEMS));
        }
        object.insert(name.into_owned(), value);
    }
    validate_value(Value::Object(object), RequestPart::Query)
        .map_err(|errors: ValidationErrors| RequestError::Invalid(errors.into()))
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
    let read = match () {
        () if is("integer") => parse_whole(text).map(Value::from),
        () if is("number") => parse_number(text).map(Value::from),
        () if is("boolean") => parse_bool(text).map(Value::from),
        () if is("array") => parse_list(text).ok().map(Value::from),
        () => None,
    };
    read.unwrap_or_else(|| Value::from(text))
}

/// Reads a whole number as JSON writes it (RFC 8259 section 6): no plus, no zero before it, no digits but those of ASCII.
/// None too where 64 bits do not hold it.
pub fn parse_whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if is_whole { text.parse().ok() } else { None }
}

/// Reads a number as JSON writes it.
fn parse_number(text: &str) -> Option<Number> {
    // serde_json would take spaces round it.
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    if is_number { serde_json::from_str(text).ok() } else { None }
}

/// Reads yes or no as JSON writes it.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Reads values separated by commas. One that stands in double quotes may hold commas: `"a, b",c`; in the quotes, `\"` and
/// `\\` are a quote and a backslash (as in RFC 8941 section 3.3.3).
///
/// # Errors
/// On a quote that does not end, is followed by something else than a comma, or holds another backslash.
pub fn parse_list(text: &str) -> Result<Vec<String>, Text> {
    let mut values = Vec::new();
    let mut rest = text;
    loop {
        let end = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (value, length) = unquoted(quoted).ok_or(QUOTES)?;
                values.push(value);
                1 + length
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                values.push(rest[..end].to_owned());
                end
            }
        };
        match &rest[end..] {
            "" => return Ok(values),
            more => rest = more.strip_prefix(',').ok_or(QUOTES)?,
        }
    }
}

const QUOTES: Text = text!(
    "a value that begins with a double quote must end with one; inside it, put a backslash before a quote or a backslash"
);

/// What stands before the closing quote, and where that ends.
fn unquoted(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => value.push(characters.next().map(|(_, c)| c).filter(|c| matches!(c, '"' | '\\'))?),
            c => value.push(c),
        }
    }
    None
}

/// What is said of a text in a query that is no time. A plus that was not encoded arrives as a space, and says so.
pub fn time_text(text: &str) -> Text {
    let is_meant = text.contains(' ') && text.replacen(' ', "+", 1).parse::<Time>().is_ok();
    if is_meant {
        text!("a `+` in a query means a space; write it as `%2B`, or the time in UTC with `Z`")
    } else {
        TimeError.text()
    }
}

#[cfg(test)]
mod tests {
    use kernel::ApiError as _;

    use super::*;

    #[test]
    fn pairs_are_decoded_and_single() {
        let pairs = parse_pairs("a=1&b=%ED%95%9C+x&&c").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_ref(), b.as_ref())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "한 x"), ("c", "")]);
        assert_eq!(parse_pairs("a=%ff"), Err(RequestError::MalformedQuery));
        assert!(matches!(parse_pairs("a=1&%61=2"), Err(RequestError::RepeatedField { .. })));
    }

    #[test]
    fn a_whole_number_has_one_spelling() {
        for (text, number) in [("0", 0), ("7", 7), ("-1", -1), ("100", 100), ("9223372036854775807", i64::MAX)] {
            assert_eq!(parse_whole(text), Some(number), "{text}");
        }
        for text in [
            "",
            "-",
            "+5",
            " 5",
            "5 ",
            "05",
            "-05",
            "00",
            "--5",
            "5.0",
            "1e1",
            "0x5",
            "0b1",
            "1_000",
            "1,000",
            "٥",
            "５",
            "5\0",
            "9223372036854775808",
            "inf",
            "NaN",
        ] {
            assert_eq!(parse_whole(text), None, "{text}");
        }
        for (text, is_number) in [
            ("1e1", true),
            ("-0.5", true),
            ("5", true),
            ("+5", false),
            (" 5", false),
            (".5", false),
            ("5.", false),
            ("05", false),
            ("1e999", false),
            ("inf", false),
            ("0x5", false),
            ("", false),
        ] {
            assert_eq!(parse_number(text).is_some(), is_number, "{text}");
        }
    }

    #[test]
    fn a_list_holds_commas_in_quotes() {
        for (text, values) in [
            ("", vec![""]),
            ("a", vec!["a"]),
            ("a,b", vec!["a", "b"]),
            ("a,,b,", vec!["a", "", "b", ""]),
            (r#""a,b""#, vec!["a,b"]),
            (r#""a,b",c,"d""#, vec!["a,b", "c", "d"]),
            (r#""a\"b\\c","""#, vec![r#"a"b\c"#, ""]),
            (r#"a"b,c\d"#, vec![r#"a"b"#, r"c\d"]),
            ("\"나,다\",라", vec!["나,다", "라"]),
        ] {
            assert_eq!(parse_list(text).unwrap(), values, "{text}");
        }
        for text in [r#"""#, r#""a"#, r#""a"b"#, r#""a" ,b"#, r#"a,"b"#, r#""a\n""#, r#""a\"#] {
            assert_eq!(parse_list(text), Err(QUOTES), "{text}");
        }
    }

    #[test]
    fn a_plus_that_was_not_encoded_is_told() {
        for text in ["2026-01-01T00:00:00 09:00", "2026-01-01T00:00:00.5 00:00"] {
            assert!(time_text(text).to_string().contains("`%2B`"), "{text}");
        }
        for text in ["2026-01-01 00:00:00 09:00", "2026-01-01T00:00:00", "now", " ", "2026-02-30T00:00:00 09:00"] {
            assert_eq!(time_text(text), TimeError.text(), "{text}");
        }
    }

    #[test]
    fn more_than_a_hundred_are_not_even_decoded() {
        let many = |count: usize| (0..count).map(|n| format!("p{n}=1&")).collect::<String>();
        assert_eq!(parse_pairs(&many(MOST_PARAMETERS)).map(|pairs| pairs.len()), Ok(MOST_PARAMETERS));
        // Nothing between ampersands is no parameter.
        assert_eq!(parse_pairs(&many(2).replace('&', &"&".repeat(8000))).map(|pairs| pairs.len()), Ok(2));
        for query in [many(MOST_PARAMETERS + 1), format!("a=%ff&a=1&a=2&{}", many(4153)), "x&".repeat(8000)] {
            let Err(RequestError::Invalid(refused)) = parse_pairs(&query) else { panic!("{}", &query[..20]) };
            let errors = refused.fields().iter().map(|error| (error.place, error.pointer.as_str(), error.code));
            assert_eq!(errors.collect::<Vec<_>>(), [(RequestPart::Query, "", "length")]);
        }
    }
}
