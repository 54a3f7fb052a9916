use cache::CacheSettings;
use kernel::{Secret, SecretKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::StoreSettings;
use web::{ClientAddress, LimitSettings, ServerSettings};

use super::SettingsOf;
use super::public_url::PublicUrl;
use crate::OperationsSettings;

/// The mode the server runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// For local development: listens on loopback only and generates its own secrets.
    #[default]
    Development,
    /// For production: refuses to start if a secret is missing or guessable.
    Production,
}

/// Settings of the whole process.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CoreSettings {
    /// `development` (listens on loopback only, generates secrets) or `production` (refuses to start if the secret is
    /// missing or guessable).
    pub mode: Mode,
    /// The secret from which all keys are derived, 32 characters or more. In development, the server generates one and
    /// stores it next to the data. Generate your own with `openssl rand -base64 48`.
    pub secret_key: Secret<String>,
    /// The public URL of this server, for example `https://api.example.com`. If a reverse proxy strips a path prefix
    /// such as `/app`, include the prefix: `https://example.com/app`. The server uses this URL, never the request, for
    /// links in emails and for the issuer of tokens. It may be empty in development: the issuer is then
    /// `urn:mainstay:development`.
    pub public_url: String,
}

/// What the server logs, and in which format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Log level: `trace`, `debug`, `info`, `warn` or `error`. A target can have its own level, for example
    /// `info,mainstay::access=off`.
    pub filter: String,
    /// Log format: `text` for people, or `json` for machines (one object per line).
    pub format: LogFormat,
    /// How much of the client's IP address the access log contains: `none`, only the `network` (`203.0.113.0/24`,
    /// `2001:db8:1::/48`), or `full`. An IP address is personal data. Log the full address only if you need it, and do
    /// not keep it for long.
    pub client_address: ClientAddress,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Plain text, for people.
    Text,
    /// One JSON object per line, for machines.
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
