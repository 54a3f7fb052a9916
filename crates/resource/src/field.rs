use kernel::{Blob, Decimal, Id, IdKind, Json, Text, TextProfile, Time, nfc, text};
use schemars::JsonSchema;
use store::Value;
use web::{parse_bool, parse_whole, time_text};

/// What is said of anything else where a yes or no is asked for.
pub(crate) const TRUE_OR_FALSE: Text = text!("must be `true` or `false`");

/// What a column holds, in the words of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// `id`
    Id,
    /// `time`
    Time,
    /// `json`
    Json,
    /// `bool`
    Bool,
    /// `decimal`
    Decimal,
    /// `text`
    Text,
    /// `int`
    Int,
    /// `blob`
    Blob,
}

impl FieldKind {
    /// Whether rows can be put in order by it, alike on both databases.
    pub(crate) const fn is_ordered(self) -> bool {
        !matches!(self, FieldKind::Json | FieldKind::Blob)
    }
}

/// A Rust type that can be a field of a resource. An enum kept as text can be one too: give it `Kind::Text`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a resource",
    note = "ids, `Time`, `bool`, `i64`, `i32`, `u32`, `String`, `Decimal`, `Json`, `Blob` and `Option` of them can"
)]
pub trait FieldType: Clone + Into<Value> {
    /// What the column holds.
    const KIND: FieldKind;
    /// Whether it can be NULL.
    const IS_NULLABLE: bool = false;
    /// Reads a filter's text.
    ///
    /// # Errors
    /// What the text should look like.
    fn parse(text: &str) -> Result<Value, Text>;
    /// Its schema as a parameter of a list.
    fn schema() -> serde_json::Value;
}

fn schema_of<T: JsonSchema>() -> serde_json::Value {
    let mut schema = schemars::SchemaGenerator::default().root_schema_for::<T>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        for key in ["$schema", "title", "x-rust-type", "format"] {
            if key != "format" || schema.get("format").is_some_and(|f| f != "date-time") {
                schema.remove(key);
            }
        }
    }
    schema
}

impl<K: IdKind> FieldType for Id<K> {
    const KIND: FieldKind = FieldKind::Id;

    fn parse(text: &str) -> Result<Value, Text> {
        text.parse::<Self>().map(Into::into).map_err(|e| e.text())
    }

    fn schema() -> serde_json::Value {
        schema_of::<Self>()
    }
}

impl FieldType for Time {
    const KIND: FieldKind = FieldKind::Time;

    fn parse(text: &str) -> Result<Value, Text> {
        text.parse::<Self>().map(Into::into).map_err(|_| time_text(text))
    }

    fn schema() -> serde_json::Value {
        schema_of::<Self>()
    }
}

impl FieldType for bool {
    const KIND: FieldKind = FieldKind::Bool;

    fn parse(text: &str) -> Result<Value, Text> {
        parse_bool(text).map(Value::Bool).ok_or(TRUE_OR_FALSE)
    }

    fn schema() -> serde_json::Value {
        schema_of::<Self>()
    }
}

macro_rules! whole_numbers {
    ($($t:ty),*) => {
        $(impl FieldType for $t {
            const KIND: FieldKind = FieldKind::Int;

            fn parse(text: &str) -> Result<Value, Text> {
                let number = parse_whole(text).and_then(|number| Self::try_from(number).ok());
                number.map(|number| Value::Int(number.into())).ok_or_else(|| {
                    text!("must be a whole number from {least} to {most}", least = Self::MIN, most = Self::MAX)
                })
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "integer", "minimum": Self::MIN, "maximum": Self::MAX })
            }
        })*
    };
}
whole_numbers!(i64, i32, u32);

impl FieldType for String {
    const KIND: FieldKind = FieldKind::Text;

    fn parse(text: &str) -> Result<Value, Text> {
        // Compared as it is kept: see `TextProfile`.
        TextProfile::Opaque.read(&nfc(text)).map(|text| Value::Text(text.into_owned())).map_err(|e| e.text())
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": TextProfile::Opaque.pattern() })
    }
}

impl<const SCALE: u32> FieldType for Decimal<SCALE> {
    const KIND: FieldKind = FieldKind::Decimal;

    fn parse(text: &str) -> Result<Value, Text> {
        text.parse::<Self>().map(Into::into).map_err(|e| e.text())
    }

    fn schema() -> serde_json::Value {
        schema_of::<Self>()
    }
}

macro_rules! not_compared {
    ($($t:ty => $kind:expr),*) => {
        $(impl FieldType for $t {
            const KIND: FieldKind = $kind;

            fn parse(_: &str) -> Result<Value, Text> {
                Err(text!("this field can only be asked for null"))
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string" })
            }
        })*
    };
}
not_compared!(Json => FieldKind::Json, Blob => FieldKind::Blob);

impl<T: FieldType> FieldType for Option<T>
where
    Option<T>: Into<Value>,
{
    const KIND: FieldKind = T::KIND;
    const IS_NULLABLE: bool = true;

    fn parse(text: &str) -> Result<Value, Text> {
        T::parse(text)
    }

    fn schema() -> serde_json::Value {
        T::schema()
    }
}
