use cache::CacheSettings;
use http::{LimitSettings, ServerSettings};
use kernel::{Secret, SecretKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::StoreSettings;

use super::SettingsOf;
use crate::OperationsSettings;

/// How careful the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// For one's own machine: listens on loopback only, makes its own secrets.
    #[default]
    Development,
    /// For real: refuses to start with a missing or default secret.
    Production,
}

/// Settings of the process as a whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Core {
    /// `development` (loopback only, generated secrets) or `production` (refuses default secrets).
    pub mode: Mode,
    /// From which every key is derived; 32 characters or more. In development one is made and kept beside the data.
    /// Make one with `openssl rand -base64 48`.
    pub secret_key: Secret<String>,
    /// The address people reach this at, as in `https://api.example.com`. Links in mails and tokens' issuer come from
    /// it, never from a request. May be empty in development: tokens then name `urn:mainstay:development` as their issuer.
    pub public_url: String,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `trace`, `debug`, `info`, `warn` or `error`; also by target, as in `info,mainstay::access=off`.
    pub filter: String,
    /// `text` for people, `json` for machines (one object a line).
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

impl SettingsOf for LogSettings {
    fn validate(&self) -> Result<(), String> {
        telemetry::check_filter(&self.filter)
    }
}

impl SettingsOf for Core {
    fn validate(&self) -> Result<(), String> {
        if !self.public_url.is_empty() {
            let rest = self.public_url.strip_prefix("https://").or_else(|| self.public_url.strip_prefix("http://"));
            if rest.is_none_or(|r| r.is_empty() || r.contains(['/', '?', '#', ' '])) {
                return Err(format!(
                    "public_url is `{}`; write scheme and host only, as in `https://api.example.com`",
                    self.public_url
                ));
            }
        }
        if self.secret_key.expose().is_empty() { Ok(()) } else { SecretKey::new(self.secret_key.expose()).map(|_| ()) }
    }
}

impl SettingsOf for ServerSettings {
    fn validate(&self) -> Result<(), String> {
        self.validate()
    }
}

impl SettingsOf for OperationsSettings {}

impl SettingsOf for CacheSettings {
    fn validate(&self) -> Result<(), String> {
        self.validate()
    }
}

impl SettingsOf for LimitSettings {
    fn validate(&self) -> Result<(), String> {
        self.validate()
    }
}

impl SettingsOf for StoreSettings {
    fn validate(&self) -> Result<(), String> {
        self.validate()
    }
}
