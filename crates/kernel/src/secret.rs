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
#[derive(Clone)]
pub struct SecretKey(Secret<[u8; 32]>);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.0).finish()
    }
}

/// Memory of the one derivation at the start, in KiB, and passes over it: as much work for a guess as a password's hash
/// is (OWASP: 7 MiB and 5 passes equal 19 MiB and 2), in memory that a small server has.
const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;
/// Guesses are tried against one deployment, and all its nodes must find the same root: so the salt says only what it is.
const SALT: &[u8] = b"mainstay secret_key";

impl SecretKey {
    /// The fewest bytes such a secret has.
    pub const LEAST: usize = 32;

    /// Takes the text of the `secret_key` setting, and stretches it with argon2id (RFC 9106): what is public (a cursor's
    /// MAC) would otherwise tell a guesser thousands of millions of times a second whether a guess is right. Takes some
    /// 20 ms and 7 MiB, once.
    ///
    /// # Errors
    /// When it is too short to be a secret.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::check(text)?;
        let mut root = [0; 32];
        let params = argon2::Params::new(MEMORY_KIB, PASSES, 1, Some(root.len()));
        params
            .map(|params| argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params))
            .and_then(|argon| argon.hash_password_into(text.as_bytes(), SALT, &mut root))
            .map_err(|error| format!("no keys can be derived from secret_key: {error}"))?;
        Ok(Self(Secret::new(root)))
    }

    /// Whether a text is long enough, without the work.
    ///
    /// # Errors
    /// When it is too short to be a secret.
    pub fn check(text: &str) -> Result<(), String> {
        if text.len() < Self::LEAST {
            return Err(format!(
                "secret_key has {} characters; {} or more are needed. Make one with `openssl rand -base64 48`.",
                text.len(),
                Self::LEAST
            ));
        }
        Ok(())
    }

    /// The key for one purpose: BLAKE2b (RFC 7693) over the purpose, keyed with the stretched secret.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        use blake2::digest::{KeyInit, Mac, consts::U32};
        // A key of 32 bytes is within BLAKE2b's bounds.
        let Ok(mut mac) = <blake2::Blake2bMac<U32> as KeyInit>::new_from_slice(self.0.expose()) else { unreachable!() };
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}
