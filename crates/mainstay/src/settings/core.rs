use cache::CacheSettings;
use kernel::{Secret, SecretKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::StoreSettings;
use web::{ClientAddress, LimitSettings, ServerSettings};

use super::SettingsOf;
use super::public_url::PublicUrl;
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
pub struct CoreSettings {
    /// `development` (loopback only, generated secrets) or `production` (refuses default secrets).
    pub mode: Mode,
    /// From which every key is derived; 32 characters or more. In development one is made and kept beside the data.
    /// Make one with `openssl rand -base64 48`.
    pub secret_key: Secret<String>,
    /// The address people reach this at, as in `https://api.example.com`, or `https://example.com/app` where a proxy takes
    /// `/app` off the paths. Links in mails and tokens' issuer come from it, never from a request. May be empty in
    /// development: tokens then name `urn:mainstay:development` as their issuer.
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
    /// What the line of each request says of the client's address: `none`, its `network` (`203.0.113.0/24`,
    /// `2001:db8:1::/48`), or `full`. An address is about a person: keep it whole only where you need it, and not for long.
    pub client_address: ClientAddress,
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
        Self { filter: "info".into(), format: LogFormat::Text, client_address: ClientAddress::Network }
    }
}

impl SettingsOf for LogSettings {
    fn validate(&self) -> Result<(), String> {
        telemetry::check_filter(&self.filter)
    }
}

impl SettingsOf for CoreSettings {
    fn validate(&self) -> Result<(), String> {
        if !self.public_url.is_empty() {
            PublicUrl::read(&self.public_url)?;
        }
        if self.secret_key.expose().is_empty() { Ok(()) } else { SecretKey::check(self.secret_key.expose()) }
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
