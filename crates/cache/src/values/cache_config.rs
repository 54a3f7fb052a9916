//! How values of one kind are kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::{MOST_ENTITY_BYTES, Tag};

/// The longest that a value is kept, stale time included.
pub const MOST_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// The most tags of a value; those that have more are not kept.
pub const MOST_TAGS: usize = 64;

/// How values become bytes, for Redis and to be weighed. [`Json`] for what serde knows, [`Raw`] for what are bytes
/// already.
pub trait Codec<T>: Send + Sync + 'static {
    /// The value as bytes; none if it has no such form: then it stays on its node.
    fn encode(&self, value: &T) -> Option<Vec<u8>>;

    /// The value that another node wrote; none if these bytes are not one, as after a change of its type: then it is
    /// loaded again.
    fn decode(&self, bytes: &[u8]) -> Option<T>;
}

/// JSON by serde.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(&self, value: &T) -> Option<Vec<u8>> {
        serde_json::to_vec(value).ok()
    }

    fn decode(&self, bytes: &[u8]) -> Option<T> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Bytes as they are.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

impl<T: AsRef<[u8]> + From<Vec<u8>>> Codec<T> for Raw {
    fn encode(&self, value: &T) -> Option<Vec<u8>> {
        Some(value.as_ref().to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Option<T> {
        Some(bytes.to_vec().into())
    }
}

/// How values of one kind are kept: under which name, how long, where, and what they can be forgotten by.
pub struct CacheConfig<T> {
    pub(crate) name: String,
    pub(crate) keep: Duration,
    pub(crate) stale: Duration,
    pub(crate) keep_absent: Duration,
    pub(crate) worth_after: u8,
    pub(crate) tags: Option<fn(&T) -> Vec<Tag>>,
    pub(crate) weigh: Option<fn(&T) -> usize>,
    pub(crate) codec: Option<Arc<dyn Codec<T>>>,
    pub(crate) is_everywhere: bool,
    pub(crate) is_local_only: bool,
}

impl<T> fmt::Debug for CacheConfig<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("name", &self.name)
            .field("keep", &self.keep)
            .field("stale", &self.stale)
            .field("keep_absent", &self.keep_absent)
            .field("worth_after", &self.worth_after)
            .field("is_everywhere", &self.is_everywhere)
            .field("is_local_only", &self.is_local_only)
            .finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + 'static> CacheConfig<T> {
    /// Values that travel as JSON, kept for a minute by default. The name is the entity of their keys.
    pub fn new(name: &str) -> Self {
        Self::with(name, Json)
    }
}

impl<T: AsRef<[u8]> + From<Vec<u8>> + 'static> CacheConfig<T> {
    /// Values that are bytes already: what was rendered, compressed or signed.
    pub fn raw(name: &str) -> Self {
        Self::with(name, Raw)
    }
}

impl<T> CacheConfig<T> {
    /// Values that travel as the codec says.
    pub fn with(name: &str, codec: impl Codec<T>) -> Self {
        Self { codec: Some(Arc::new(codec)), ..Self::bare(name) }
    }

    /// Values that never leave their node and need not be written down, with how many bytes of memory one takes beyond
    /// its own type.
    pub fn local(name: &str, weigh: fn(&T) -> usize) -> Self {
        Self { weigh: Some(weigh), is_local_only: true, ..Self::bare(name) }
    }

    fn bare(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            keep: Duration::from_secs(60),
            stale: Duration::ZERO,
            keep_absent: Duration::ZERO,
            worth_after: 0,
            tags: None,
            weigh: None,
            codec: None,
            is_everywhere: false,
            is_local_only: false,
        }
    }

    /// How long a value is good, from the moment its load began; each up to a tenth shorter, so that what was loaded
    /// together does not end together.
    #[must_use]
    pub fn keep(self, keep: Duration) -> Self {
        Self { keep, ..self }
    }

    /// How long after that the old one is still served while one load brings the new one.
    #[must_use]
    pub fn stale(self, stale: Duration) -> Self {
        Self { stale, ..self }
    }

    /// How long it is remembered that there is nothing, up to a tenth shorter. Without this it is asked each time.
    #[must_use]
    pub fn keep_absent(self, keep_absent: Duration) -> Self {
        Self { keep_absent, ..self }
    }

    /// Keeps a value only where its key was asked for at least so often lately, at most 15: what is asked for once must
    /// not push out what is asked for again and again.
    #[must_use]
    pub fn worth_after(self, asks: u8) -> Self {
        Self { worth_after: asks, ..self }
    }

    /// What a value can be forgotten by beside its key.
    #[must_use]
    pub fn tags(self, tags: fn(&T) -> Vec<Tag>) -> Self {
        Self { tags: Some(tags), ..self }
    }

    /// How many bytes of memory a value takes beyond its own type; without this, as many as the codec writes.
    #[must_use]
    pub fn weigh(self, weigh: fn(&T) -> usize) -> Self {
        Self { weigh: Some(weigh), ..self }
    }

    /// One load for all nodes, where they share a Redis: for loads that are dear. The others wait for its result, and
    /// each asks on its own when that does not come.
    #[must_use]
    pub fn everywhere(self) -> Self {
        Self { is_everywhere: true, ..self }
    }

    /// Never to Redis: for what is small, asked for all the time, and quickly loaded.
    #[must_use]
    pub fn local_only(self) -> Self {
        Self { is_local_only: true, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), CacheConfigError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !(1..=MOST_ENTITY_BYTES).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            Err(CacheConfigError::Name)
        } else if self.keep.is_zero() || self.longest() > MOST_KEPT {
            Err(CacheConfigError::Keep)
        } else if self.worth_after > 15 {
            Err(CacheConfigError::Worth)
        } else {
            Ok(())
        }
    }

    /// The longest that anything of it may be kept.
    pub(crate) fn longest(&self) -> Duration {
        self.keep.saturating_add(self.stale).max(self.keep_absent)
    }
}

/// A config that cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheConfigError {
    /// The name is not of 1–32 characters of `A–Z a–z 0–9 _ . -`.
    Name,
    /// There is a config of this name already: one of them would get the other's values.
    Taken,
    /// Nothing is kept at all, or longer than 30 days.
    Keep,
    /// `worth_after` is more than 15, which is as far as it is counted.
    Worth,
    /// There are 1,000 configs.
    TooMany,
}

impl fmt::Display for CacheConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a config's name has 1–32 characters of A–Z, a–z, 0–9, _, . and -",
            Self::Taken => {
                "a config of this name is there already: share what `Cache::configure` gave, or name it otherwise"
            }
            Self::Keep => "values are kept for longer than nothing and at most 30 days, stale time included",
            Self::Worth => "`worth_after` is at most 15",
            Self::TooMany => "a cache has at most 1,000 configs",
        })
    }
}

impl std::error::Error for CacheConfigError {}
