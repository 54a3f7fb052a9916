use kernel::Secret;

/// What a node remembers, and where nodes share it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// `memory:` for one node; `redis://user:password@host:6379/0` for several, `rediss://` where it is encrypted,
    /// `redis+sentinel://host:26379,host:26379/NAME` and `redis+cluster://host:6379,host:6379` where there are several of it. A
    /// secret, because it may hold a password.
    pub url: Secret<String>,
    /// How much a node keeps in memory of its own, in bytes, 0–68719476736; 0: nothing.
    pub memory_bytes: u64,
    /// How long an operation waits for Redis before it does without, in milliseconds, 5–5000; never past its own deadline.
    pub timeout_ms: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { url: Secret::new("memory:".to_owned()), memory_bytes: 64 << 20, timeout_ms: 100 }
    }
}
