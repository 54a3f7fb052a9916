use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::Line;

/// Rate limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Whether rate limits are enabled.
    pub enabled: bool,
    /// Additional rate limits, or replacements for existing ones. Each entry is `NAME: QUOTA/WINDOW by PARTS`, where
    /// `PARTS` are `address`, `user` and `operation`, joined by `+`. An entry can continue with `on
    /// OPERATION+OPERATION` (by `operationId`; `*` means all) and with a separate quota for a tier (`anonymous`,
    /// `user`, `admin`): `address: 6000/1m by address on * admin=60000`. `address: off` removes the limit `address`.
    pub policies: Vec<String>,
    /// What the server does while Redis is unavailable: `share` (each node allows its share of every limit) or `refuse`
    /// (every request with a rate limit is refused).
    pub without_redis: WhenBackendDown,
}

/// What happens to rate limits shared between nodes while their backend is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenBackendDown {
    /// Each node allows its share of every limit.
    Share,
    /// Every request with a rate limit is refused.
    Refuse,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { enabled: true, policies: Vec::new(), without_redis: WhenBackendDown::Share }
    }
}

impl LimitSettings {
    /// Checks every line by itself; whether it names operations that are there, only the app knows.
    ///
    /// # Errors
    /// The first line that is none, and what to write.
    pub fn validate(&self) -> Result<(), String> {
        self.lines().map(drop)
    }

    pub(super) fn lines(&self) -> Result<Vec<Line>, String> {
        self.policies.iter().map(|line| line.parse().map_err(|error| format!("policies: {error}"))).collect()
    }
}
