use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::Line;

/// How often callers may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Whether there are limits.
    pub enabled: bool,
    /// More limits, or other ones in the place of those that are there: `NAME: QUOTA/WINDOW by PARTS`, parts of `address`,
    /// `user`, `operation` joined by `+`, then `on OPERATION+OPERATION` (by `operationId`; `*`: all) and a quota of its own for
    /// a tier (`anonymous`, `user`, `admin`): `address: 6000/1m by address on * admin=60000`. `address: off` takes one away.
    pub policies: Vec<String>,
    /// While Redis is away: `share` (each node lets through its part of every limit) or `refuse` (nothing that is limited goes
    /// through).
    pub without_redis: WhenBackendDown,
}

/// What happens to limits that nodes share while what they share is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenBackendDown {
    /// Each node lets through its part.
    Share,
    /// Nothing goes through.
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
