//! The slow path of a refused input: the published schema is run over what was sent, so that all faults come back at
//! once, in the words of the wire. Nothing of serde's text reaches the caller: it names Rust types.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use kernel::{Faults, Place, Text, text};
use serde_json::Value;

use crate::InputType;
use crate::check::{self, Pointer};

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
            .with_format("email", check::is_email)
            .with_format("date-time", |text: &str| text.parse::<kernel::Time>().is_ok())
            .build(&schema)
            .map_err(|e| e.to_string())?;
        Ok(Self { schema, compiled })
    }

    /// The schema itself.
    pub(crate) const fn schema(&self) -> &Value {
        &self.schema
    }

    /// Adds everything that is wrong with `value`.
    pub fn faults(&self, value: &Value, place: Place, faults: &mut Faults) {
        for error in self.compiled.iter_errors(value).take(Faults::MOST) {
            explain(&error, place, faults);
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
/// All faults.
pub fn validate_value<T: InputType>(value: Value, place: Place) -> Result<T, Faults> {
    let mut faults = Faults::new();
    match serde_path_to_error::deserialize::<_, T>(value.clone()) {
        Ok(typed) => {
            typed.check(&mut Pointer::root(place), &mut faults);
            if faults.is_empty() { Ok(typed) } else { Err(all_faults::<T>(&value, place, faults)) }
        }
        Err(error) => {
            let faults = all_faults::<T>(&value, place, faults);
            Err(if faults.is_empty() { unexplained(error.path(), place) } else { faults })
        }
    }
}

/// What the schema finds, beside what is known already.
pub(crate) fn all_faults<T: InputType>(value: &Value, place: Place, mut faults: Faults) -> Faults {
    if let Some(validator) = validator::<T>() {
        validator.faults(value, place, &mut faults);
    }
    faults
}

/// For a value that the type refuses though its schema does not: at least where it stands.
fn unexplained(path: &serde_path_to_error::Path, place: Place) -> Faults {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => check::push_token(&mut pointer, &index.to_string()),
            Segment::Map { key } => check::push_token(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let mut faults = Faults::new();
    faults.add(place, pointer, "not_acceptable", text!("this value cannot be read here; see the field's description"));
    faults
}

fn explain(error: &ValidationError<'_>, place: Place, faults: &mut Faults) {
    use ValidationErrorKind as Kind;
    let at = error.instance_path().to_string();
    let child = |name: &str| {
        let mut pointer = at.clone();
        check::push_token(&mut pointer, name);
        pointer
    };
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            faults.add(place, child(name), "required", text!("this field is required"));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                faults.add(place, child(name), "unknown_field", text!("there is no such field here"));
            }
        }
        Kind::Type { kind } => {
            let kinds: Vec<String> = match kind {
                TypeKind::Single(one) => vec![one.to_string()],
                TypeKind::Multiple(many) => many.iter().map(|t| t.to_string()).collect(),
            };
            let either = |all: Text, kind: Text| text!("{all} or {kind}", all, kind);
            if let Some(kinds) = kinds.iter().map(|kind| kind_text(kind)).reduce(either) {
                faults.add(place, at, "type", text!("must be {kinds}", kinds));
            }
        }
        Kind::MinLength { limit } => length(place, at, faults, error, *limit, check::CHARACTERS),
        Kind::MaxLength { limit } => length(place, at, faults, error, *limit, check::CHARACTERS),
        Kind::MinItems { limit } => length(place, at, faults, error, *limit, check::ITEMS),
        Kind::MaxItems { limit } => length(place, at, faults, error, *limit, check::ITEMS),
        Kind::Minimum { limit } | Kind::ExclusiveMinimum { limit } => {
            faults.add(place, at, "range", text!("must be at least {min}", min = limit.to_string()));
        }
        Kind::Maximum { limit } | Kind::ExclusiveMaximum { limit } => {
            faults.add(place, at, "range", text!("must be at most {max}", max = limit.to_string()));
        }
        Kind::Pattern { pattern } if pattern.contains("u0000") => {
            faults.add(place, at, "nul_character", check::NUL);
        }
        Kind::Pattern { pattern } => faults.add(place, at, "pattern", check::pattern_text(pattern)),
        Kind::Format { format } if format == "email" => faults.add(place, at, "email", check::EMAIL),
        Kind::Format { format } if format == "date-time" => {
            faults.add(place, at, "format", kernel::TimeError.text());
        }
        Kind::Format { format } => faults.add(place, at, "format", text!("must be a {format}", format)),
        Kind::Enum { options } => {
            let names: Vec<String> =
                options.as_array().map(|list| list.iter().map(ToString::to_string).collect()).unwrap_or_default();
            faults.add(place, at, "not_allowed", text!("must be one of {names}", names = names.join(", ")));
        }
        Kind::Constant { expected_value } => {
            faults.add(place, at, "not_allowed", text!("must be exactly {value}", value = expected_value.to_string()));
        }
        // An optional nested value is `anyOf: [value, null]`, a choice is `oneOf`: explain the branch that comes closest,
        // which is the one with the fewest faults that is not "must be null".
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let is_null = |branch: &&Vec<ValidationError<'_>>| {
                branch
                    .iter()
                    .any(|e| matches!(e.kind(), Kind::Type { kind: TypeKind::Single(t) } if t.to_string() == "null"))
            };
            match context.iter().filter(|b| !is_null(b)).min_by_key(|b| b.len()) {
                Some(branch) => branch.iter().for_each(|e| explain(e, place, faults)),
                None => faults.add(place, at, "type", text!("must be {kinds}", kinds = kind_text("null"))),
            }
        }
        _ => {
            let message = text!("this value is not acceptable; see the field's description");
            faults.add(place, at, "not_acceptable", message);
        }
    }
}

fn length(place: Place, at: String, faults: &mut Faults, error: &ValidationError<'_>, limit: u64, unit: Text) {
    let (min, max) = match error.kind() {
        ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MinItems { .. } => (Some(limit), None),
        _ => (None, Some(limit)),
    };
    if let Some(text) = check::length_text(min, max, unit) {
        faults.add(place, at, "length", text);
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
