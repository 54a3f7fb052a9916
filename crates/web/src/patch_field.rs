use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// One field of a PATCH: absent keeps what is there (RFC 7396's rule), present changes it. `null` is a value only where
/// `T` is an `Option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PatchField<T> {
    /// Not sent.
    #[default]
    Keep,
    /// Sent.
    To(T),
}

impl<T> PatchField<T> {
    /// The new value, if one was sent.
    pub const fn as_option(&self) -> Option<&T> {
        match self {
            PatchField::Keep => None,
            PatchField::To(value) => Some(value),
        }
    }

    /// The new value, if one was sent.
    pub fn into_option(self) -> Option<T> {
        match self {
            PatchField::Keep => None,
            PatchField::To(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PatchField<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(PatchField::To)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for PatchField<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
