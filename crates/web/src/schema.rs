//! The slow path of a refused input: the published schema is run over what was sent, so that all errors come back at
//! once, in the words of the wire. Nothing of serde's text reaches the caller: it names Rust types.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use kernel::{Json, RequestPart, Text, TextProfile, ValidationErrors, text};
use serde_json::Value;

use crate::InputType;
use crate::validate::{self, Pointer};

/// A schema, compiled.
#[derive(Debug)]
pub struct JsonValidator {
    schema: Value,
    compiled: Validator,
}

impl JsonValidator {
    /// Compiles a schema.
    ///
    /// # Errors
    /// When it is not a JSON Schema.
    pub fn new(schema: Value) -> Result<Self, String> {
        let compiled = jsonschema::draft202012::options()
            .should_validate_formats(true)
            // The engine of what is checked first: it does not backtrack, so a text costs its length.
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .with_format("email", validate::is_email)
            .with_format("date-time", |text: &str| text.parse::<kernel::Time>().is_ok())
            .with_format("line", |text: &str| TextProfile::Line.read(text).is_ok())
            .with_format("name", |text: &str| TextProfile::Name.read(text).is_ok())
            .build(&schema)
            .map_err(|e| e.to_string())?;
        Ok(Self { schema, compiled })
    }

    /// The schema itself.
    pub(crate) const fn schema(&self) -> &Value {
        &self.schema
    }

    /// Adds everything that is wrong with `value`.
    pub fn errors(&self, value: &Value, place: RequestPart, errors: &mut ValidationErrors) {
        self.errors_of_cut(value, false, place, errors);
    }

    /// The same for a value whose lists may lack items at their ends.
    fn errors_of_cut(&self, value: &Value, is_cut: bool, place: RequestPart, errors: &mut ValidationErrors) {
        for error in self.compiled.iter_errors(value) {
            if errors.is_full() {
                break;
            }
            explain(&error, is_cut, place, errors);
        }
    }
}

/// The schema of `T` as its callers see it, compiled on first use. None when it does not compile, which the document's
/// own test would show; a refusal is then less exact, not wrong.
pub(crate) fn validator<T: InputType>() -> Option<Arc<JsonValidator>> {
    // One compiled validator per input type of the program: immutable once made, so this is a memo, not state.
    static COMPILED: OnceLock<RwLock<HashMap<TypeId, Option<Arc<JsonValidator>>>>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(Default::default);
    let id = TypeId::of::<T>();
    if let Some(found) = compiled.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return found.clone();
    }
    let made = JsonValidator::new(input_schema::<T>()).ok().map(Arc::new);
    compiled.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(made).clone()
}

/// The self-contained schema of an input type.
pub(crate) fn input_schema<T: schemars::JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Turns a JSON value into `T`, or tells everything that is wrong with it.
///
/// # Errors
/// All errors.
pub fn validate_value<T: InputType>(mut value: Value, place: RequestPart) -> Result<T, ValidationErrors> {
    let mut errors = ValidationErrors::new();
    match serde_path_to_error::deserialize::<_, T>(value.clone()) {
        Ok(mut typed) => {
            typed.check(TextProfile::default(), &mut Pointer::root(place), &mut errors);
            if errors.is_empty() { Ok(typed) } else { Err(all_errors::<T>(&mut value, false, place, errors)) }
        }
        Err(error) => {
            let errors = all_errors::<T>(&mut value, false, place, errors);
            Err(if errors.is_empty() { unexplained(&error, place) } else { errors })
        }
    }
}

/// Turns a JSON value into `T`, or tells what its rules find, or the first that cannot be read.
pub(crate) fn read_value<T: InputType>(value: Value, place: RequestPart) -> Result<T, ValidationErrors> {
    let mut typed: T = serde_path_to_error::deserialize(value).map_err(|error| unexplained(&error, place))?;
    let mut errors = ValidationErrors::new();
    typed.check(TextProfile::default(), &mut Pointer::root(place), &mut errors);
    if errors.is_empty() { Ok(typed) } else { Err(errors) }
}

/// What the schema finds, beside what is known already. The value's texts are normalised first, as those of a good one
/// are: a length counts what would be kept. `is_cut` says that lists may lack items at their ends.
pub(crate) fn all_errors<T: InputType>(
    value: &mut Value,
    is_cut: bool,
    place: RequestPart,
    mut errors: ValidationErrors,
) -> ValidationErrors {
    if let Some(validator) = validator::<T>() {
        normalize(value, &validator.schema, &validator.schema);
        validator.errors_of_cut(value, is_cut, place, &mut errors);
    }
    errors
}

/// Brings the texts of a value into the form that is kept, as far as their schemas say which it is and nothing is wrong with
/// them.
fn normalize(value: &mut Value, schema: &Value, root: &Value) {
    if is_settled(value) {
        return;
    }
    if let Some(schema) = schema["$ref"].as_str().and_then(|at| root.pointer(at.trim_start_matches('#'))) {
        return normalize(value, schema, root);
    }
    for schema in ["anyOf", "oneOf"].iter().filter_map(|word| schema[word].as_array()).flatten() {
        normalize(value, schema, root);
    }
    match value {
        Value::String(text) => {
            if let Some(kept) = profile(schema).and_then(|profile| profile.read(text).ok().map(Cow::into_owned)) {
                *text = kept;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| normalize(item, &schema["items"], root)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut().filter(|(_, field)| !is_settled(field)) {
                let known = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                normalize(field, known, root);
            }
        }
        _ => {}
    }
}

/// Whether a value is kept as it is, whatever its schema says: most are, and the schema need not be looked into.
fn is_settled(value: &Value) -> bool {
    match value {
        // In ASCII all that a profile changes is spaces.
        Value::String(text) => {
            text.is_ascii() && !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ")
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// The profile that `#[check(…)]` has written into a schema of a text.
fn profile(schema: &Value) -> Option<TextProfile> {
    let of_format = schema["format"].as_str().and_then(TextProfile::of_format);
    of_format.or_else(|| schema["pattern"].as_str().and_then(TextProfile::of_pattern))
}

/// For a value that the type refuses and the schema does not, or was not asked about: at least where it stands.
pub(crate) fn unexplained(
    error: &serde_path_to_error::Error<serde_json::Error>,
    place: RequestPart,
) -> ValidationErrors {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in error.path().iter() {
        match segment {
            Segment::Seq { index } => validate::push_token(&mut pointer, &index.to_string()),
            Segment::Map { key } => validate::push_token(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let (code, message) = if Json::is_beyond(error.inner()) {
        let (most, levels) = (Json::MOST_VALUES, Json::MOST_DEPTH);
        ("too_complex", text!("must hold at most {most} values, nested at most {levels} deep", most, levels))
    } else {
        ("not_acceptable", text!("this value cannot be read here; see the field's description"))
    };
    let mut errors = ValidationErrors::new();
    errors.add(place, pointer, code, message);
    errors
}

fn explain(error: &ValidationError<'_>, is_cut: bool, place: RequestPart, errors: &mut ValidationErrors) {
    use ValidationErrorKind as Kind;
    let at = error.instance_path().to_string();
    let child = |name: &str| {
        let mut pointer = at.clone();
        validate::push_token(&mut pointer, name);
        pointer
    };
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            errors.add(place, child(name), "required", text!("this field is required"));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected.iter().take(ValidationErrors::MOST) {
                errors.add(place, child(name), "unknown_field", text!("there is no such field here"));
            }
        }
        Kind::Type { kind } => {
            let kinds: Vec<String> = match kind {
                TypeKind::Single(one) => vec![one.to_string()],
                TypeKind::Multiple(many) => many.iter().map(|t| t.to_string()).collect(),
            };
            let either = |all: Text, kind: Text| text!("{all} or {kind}", all, kind);
            if let Some(kinds) = kinds.iter().map(|kind| kind_text(kind)).reduce(either) {
                errors.add(place, at, "type", text!("must be {kinds}", kinds));
            }
        }
        Kind::MinLength { limit } => length(place, at, errors, error, *limit, validate::CHARACTERS),
        Kind::MaxLength { limit } => length(place, at, errors, error, *limit, validate::CHARACTERS),
        // Perhaps they are there.
        Kind::MinItems { .. } if is_cut => {}
        Kind::MinItems { limit } => length(place, at, errors, error, *limit, validate::ITEMS),
        Kind::MaxItems { limit } => length(place, at, errors, error, *limit, validate::ITEMS),
        Kind::Minimum { limit } | Kind::ExclusiveMinimum { limit } => {
            errors.add(place, at, "range", text!("must be at least {min}", min = limit.to_string()));
        }
        Kind::Maximum { limit } | Kind::ExclusiveMaximum { limit } => {
            errors.add(place, at, "range", text!("must be at most {max}", max = limit.to_string()));
        }
        Kind::Pattern { pattern } if TextProfile::of_pattern(pattern).is_some() => {
            text_fault(TextProfile::of_pattern(pattern), error, place, at, errors);
        }
        Kind::Pattern { pattern } => errors.add(place, at, "pattern", validate::pattern_text(pattern)),
        Kind::Format { format } if format == "email" => errors.add(place, at, "email", validate::EMAIL),
        Kind::Format { format } if format == "date-time" => {
            let text = error.instance().as_str().filter(|_| place == RequestPart::Query);
            errors.add(place, at, "format", text.map_or_else(|| kernel::TimeError.text(), crate::query::time_text));
        }
        Kind::Format { format } if TextProfile::of_format(format).is_some() => {
            text_fault(TextProfile::of_format(format), error, place, at, errors);
        }
        Kind::Format { format } => errors.add(place, at, "format", text!("must be a {format}", format)),
        Kind::Enum { options } => {
            let names: Vec<String> =
                options.as_array().map(|list| list.iter().map(ToString::to_string).collect()).unwrap_or_default();
            errors.add(place, at, "not_allowed", text!("must be one of {names}", names = names.join(", ")));
        }
        Kind::Constant { expected_value } => {
            errors.add(place, at, "not_allowed", text!("must be exactly {value}", value = expected_value.to_string()));
        }
        // An optional nested value is `anyOf: [value, null]`, a choice is `oneOf`: explain the branch that comes closest,
        // which is the one with the fewest errors that is not "must be null".
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let is_null = |branch: &&Vec<ValidationError<'_>>| {
                branch
                    .iter()
                    .any(|e| matches!(e.kind(), Kind::Type { kind: TypeKind::Single(t) } if t.to_string() == "null"))
            };
            match context.iter().filter(|b| !is_null(b)).min_by_key(|b| b.len()) {
                Some(branch) => branch.iter().for_each(|e| explain(e, is_cut, place, errors)),
                None => errors.add(place, at, "type", text!("must be {kinds}", kinds = kind_text("null"))),
            }
        }
        _ => {
            let message = text!("this value is not acceptable; see the field's description");
            errors.add(place, at, "not_acceptable", message);
        }
    }
}

/// What a profile says of a text that its schema refuses.
fn text_fault(
    profile: Option<TextProfile>,
    error: &ValidationError<'_>,
    place: RequestPart,
    at: String,
    errors: &mut ValidationErrors,
) {
    let read = profile.zip(error.instance().as_str()).map(|(profile, text)| profile.read(text).map(drop));
    if let Some(Err(error)) = read {
        errors.add(place, at, error.code(), error.text());
    }
}

fn length(
    place: RequestPart,
    at: String,
    errors: &mut ValidationErrors,
    error: &ValidationError<'_>,
    limit: u64,
    unit: Text,
) {
    let (min, max) = match error.kind() {
        ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MinItems { .. } => (Some(limit), None),
        _ => (None, Some(limit)),
    };
    if let Some(text) = validate::length_text(min, max, unit) {
        errors.add(place, at, "length", text);
    }
}

/// JSON Schema's word for a type, as part of a sentence.
fn kind_text(kind: &str) -> Text {
    match kind {
        "array" => text!("an array"),
        "boolean" => text!("a boolean"),
        "integer" => text!("an integer"),
        "null" => text!("null"),
        "number" => text!("a number"),
        "object" => text!("an object"),
        _ => text!("a string"),
    }
}

#[cfg(test)]
mod tests {
    use schemars::transform::Transform;
    use serde_json::json;

    use super::*;

    fn schema_of(profile: TextProfile) -> Value {
        let mut schema = schemars::json_schema!({ "type": ["string", "null"] });
        validate::Described(profile).transform(&mut schema);
        schema.to_value()
    }

    /// The characters round those that a rule names, in places that matter to it.
    fn samples() -> impl Iterator<Item = String> {
        let characters =
            (0..0x500).chain(0x600..0x620).chain(0x1100..0x1180).chain(0x1680..0x1682).chain(0x17b0..0x1820);
        let characters =
            characters.chain(0x2000..0x2080).chain([0x2800, 0x3000, 0x3164, 0xe000, 0xf8ff, 0xfdd0, 0xfdef]);
        let characters = characters.chain(0xfdf0..0x1_0001).chain(0x1_bca0..0x1_bca4).chain(0x1_d159..0x1_d17b);
        let characters = characters.chain(0x1_f3f4..0x1_f3f6).chain(0xe_0000..0xe_0100).chain([0x2_0000, 0x10_ffff]);
        characters.filter_map(char::from_u32).flat_map(|c| [format!("{c}"), format!("a{c}"), format!(" {c}\u{301}b")])
    }

    /// A type and its schema refuse a body with the same error; and the pattern, which is all that others understand of
    /// it, refuses nothing that is accepted.
    #[test]
    fn a_profile_and_its_schema_agree() {
        for profile in [TextProfile::Opaque, TextProfile::Text, TextProfile::Line, TextProfile::Name] {
            let schema = schema_of(profile);
            let validator = JsonValidator::new(schema.clone()).unwrap();
            let pattern = JsonValidator::new(json!({ "type": "string", "pattern": schema["pattern"] })).unwrap();
            for text in samples().chain([String::new(), " ".to_owned(), "a\r\nb\t".to_owned()]) {
                let read = profile.read(&text);
                let mut errors = ValidationErrors::new();
                validator.errors(&json!(text), RequestPart::Body, &mut errors);
                let found: Vec<&str> = errors.into_sorted().into_iter().map(|error| error.code).collect();
                let expected: Vec<&str> = read.as_ref().err().map(|error| error.code()).into_iter().collect();
                assert_eq!(found, expected, "{} as {profile:?}", text.escape_unicode());
                let matches = pattern.compiled.is_valid(&json!(text));
                assert!(matches || read.is_err(), "{} is accepted as {profile:?}", text.escape_unicode());
                if profile.format().is_none() {
                    assert_eq!(matches, read.is_ok(), "{} as {profile:?}: the pattern says all", text.escape_unicode());
                }
            }
        }
    }

    #[test]
    fn a_profile_is_written_where_the_text_is() {
        let described = |mut schema: schemars::Schema| {
            validate::Described(TextProfile::Line).transform(&mut schema);
            schema.to_value()
        };
        let line = json!({ "type": "string", "format": "line", "pattern": TextProfile::Line.pattern() });
        assert_eq!(described(schemars::json_schema!({ "type": "string" })), line);
        let list = described(schemars::json_schema!({ "type": ["array", "null"], "items": { "type": "string" } }));
        assert_eq!(list["items"], line);
        let map = described(schemars::json_schema!({ "type": "object", "additionalProperties": { "type": "string" } }));
        assert_eq!(map["additionalProperties"], line);
        // A pattern of one's own stays; a format that says more too.
        let own = described(schemars::json_schema!({ "type": "string", "pattern": "^[a-z]$" }));
        assert_eq!(own, json!({ "type": "string", "format": "line", "pattern": "^[a-z]$" }));
        let address = json!({ "type": "string", "format": "email" });
        assert_eq!(described(serde_json::from_value(address.clone()).unwrap()), address);
        assert_eq!(described(schemars::json_schema!({ "type": "integer" })), json!({ "type": "integer" }));
    }
}
