use std::fmt;

/// A value that must not be shown: passwords, keys, tokens. Prints as dots in every format; `expose` is the only way
/// to the value, so that a search for it finds every use.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, given away.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••••••")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••••••")
    }
}

impl<T> serde::Serialize for Secret<T> {
    /// Dots, so that a settings dump cannot leak.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("••••••••")
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Secret<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Secret_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = T::json_schema(generator);
        schema.insert("format".into(), "password".into());
        schema.insert("writeOnly".into(), true.into());
        schema
    }
}

/// The one secret a deployment is given; every key the process needs is derived from it by purpose, so that one use
/// cannot help against another.
#[derive(Debug, Clone)]
pub struct SecretKey(Secret<Vec<u8>>);

impl SecretKey {
    /// The fewest bytes such a secret has.
    pub const LEAST: usize = 32;

    /// Takes the text of the `secret_key` setting.
    ///
    /// # Errors
    /// When it is too short to be a secret.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() < Self::LEAST {
            return Err(format!(
                "secret_key has {} characters; {} or more are needed. Make one with `openssl rand -base64 48`.",
                text.len(),
                Self::LEAST
            ));
        }
        Ok(Self(Secret::new(text.as_bytes().to_vec())))
    }

    /// The key for one purpose: BLAKE2b (RFC 7693) over the purpose, keyed with the hashed secret.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        use blake2::digest::{Digest, KeyInit, Mac, consts::U32};
        let root = blake2::Blake2b::<U32>::digest(self.0.expose());
        // A key of 32 bytes is within BLAKE2b's bounds.
        let Ok(mut mac) = <blake2::Blake2bMac<U32> as KeyInit>::new_from_slice(&root) else { unreachable!() };
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}
