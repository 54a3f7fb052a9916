//! Settings: defaults, then a file, then the environment, then flags; read once, by `server`, and handed in. A key that
//! nobody knows is an error, and each message says what to do.

mod core;
mod environment;
mod guessable;
mod public_url;
mod section;
mod shown;
mod sources;

use std::collections::BTreeMap;
use std::fmt;

use cache::CacheSettings;
use kernel::Secret;
use store::StoreSettings;
use toml::{Table, Value};
use web::{LimitSettings, ServerSettings};

use self::guessable::why_guessable;
use self::public_url::PublicUrl;
use self::shown::Secrecy;
use self::sources::tree;
use crate::OperationsSettings;

pub use self::core::{CoreSettings, LogFormat, LogSettings, Mode};
pub use environment::{Ignored, WhyIgnored};
pub use section::{Section, SettingsOf};
pub use shown::shown_url;
pub use sources::{Origin, PREFIX, SettingsBuilder, SettingsError};

/// All settings, checked.
#[derive(Clone)]
pub struct Settings {
    /// The mode the server runs in.
    pub mode: Mode,
    /// The secret from which all keys are derived.
    pub secret_key: Secret<String>,
    /// The public URL of this server.
    pub public_url: String,
    /// The HTTP server.
    pub server: ServerSettings,
    /// The database.
    pub database: StoreSettings,
    /// The cache, and the Redis that nodes share.
    pub cache: CacheSettings,
    /// Rate limits.
    pub limits: LimitSettings,
    /// The listener for metrics and health checks.
    pub operations: OperationsSettings,
    /// What the server logs, and in which format.
    pub log: LogSettings,
    sections: BTreeMap<String, Table>,
    secrets: Vec<(String, Secrecy)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl Settings {
    /// Reads nothing but the defaults: for tests and for the document.
    ///
    /// # Errors
    /// Never for the defaults we ship; a domain's may contradict themselves.
    pub fn defaults(domains: Vec<Section>) -> Result<Self, SettingsError> {
        SettingsBuilder::new(domains).build()
    }

    /// The settings under a heading.
    ///
    /// # Errors
    /// When nothing declared that heading with this type.
    pub fn section<S: SettingsOf>(&self, name: &str) -> Result<S, SettingsError> {
        let table = self
            .sections
            .get(name)
            .ok_or_else(|| SettingsError(format!("no domain declares settings under [{name}]")))?;
        table.clone().try_into().map_err(|e: toml::de::Error| SettingsError(format!("[{name}] {}", e.message())))
    }

    /// Changes one section, for tests and embedding.
    ///
    /// # Errors
    /// When the section contradicts itself.
    pub fn set_section<S: SettingsOf>(&mut self, name: &str, settings: &S) -> Result<(), SettingsError> {
        settings.validate().map_err(SettingsError)?;
        let table = Table::try_from(settings).map_err(|e| SettingsError(e.to_string()))?;
        self.sections.insert(name.to_owned(), table);
        Ok(())
    }

    /// Everything in force as TOML; secrets are dots.
    pub fn show(&self) -> String {
        let mut tree = tree(self.sections.iter().map(|(name, table)| (name.as_str(), table)));
        for (key, secrecy) in &self.secrets {
            hide(&mut tree, key, *secrecy);
        }
        toml::to_string_pretty(&tree).unwrap_or_default()
    }

    /// The secrets that are written in a settings file.
    #[doc(hidden)]
    pub fn secrets_in(&self, text: &str) -> Vec<&str> {
        let Ok(table) = text.parse::<Table>() else { return Vec::new() };
        let is_written = |(key, secrecy): &&(String, Secrecy)| {
            written(&table, key).is_some_and(|value| secrecy.shown(value) != value)
        };
        self.secrets.iter().filter(is_written).map(|(key, _)| key.as_str()).collect()
    }

    /// The path of `public_url`, which a proxy takes off the paths of requests: `/app`, or nothing.
    pub fn base_path(&self) -> String {
        PublicUrl::read(&self.public_url).map_or_else(|_| String::new(), |url| url.base_path().to_owned())
    }

    /// What the mode forbids.
    pub(super) fn check_mode(&self) -> Result<(), SettingsError> {
        match self.mode {
            Mode::Development if !self.server.listen.ip().is_loopback() => Err(SettingsError(format!(
                "server.listen is {}, which other machines can reach, but the mode is development. Set mode = \"production\" \
                 (and secret_key, public_url), or listen on 127.0.0.1.",
                self.server.listen
            ))),
            Mode::Development if !self.operations.listen.ip().is_loopback() => Err(SettingsError(format!(
                "operations.listen is {}, which other machines can reach, but the mode is development. Set mode = \
                 \"production\" (and secret_key, public_url), or listen on 127.0.0.1.",
                self.operations.listen
            ))),
            Mode::Production if self.secret_key.expose().is_empty() => Err(SettingsError(
                "mode is production, but secret_key is not set. Make one with `openssl rand -base64 48` and set it as \
                 MAINSTAY_SECRET_KEY."
                    .into(),
            )),
            Mode::Production if let Some(why) = why_guessable(self.secret_key.expose()) => Err(SettingsError(format!(
                "mode is production, but secret_key {why}. Make one with `openssl rand -base64 48`."
            ))),
            Mode::Production if self.public_url.is_empty() => Err(SettingsError(
                "mode is production, but public_url is not set. Set it to the address people use, as in \
                 https://api.example.com."
                    .into(),
            )),
            _ => Ok(()),
        }
    }
}

/// The text of a dotted key.
fn written<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    match key.split_once('.') {
        Some((name, rest)) => written(table.get(name)?.as_table()?, rest),
        None => table.get(key)?.as_str(),
    }
}

/// Shows a secret in the way that its setting may be shown.
fn hide(tree: &mut Table, key: &str, secrecy: Secrecy) {
    let mut names: Vec<&str> = key.split('.').collect();
    let last = names.pop().unwrap_or_default();
    let mut table = tree;
    for name in names {
        match table.get_mut(name) {
            Some(Value::Table(inner)) => table = inner,
            _ => return,
        }
    }
    if let Some(Value::String(text)) = table.get_mut(last) {
        *text = secrecy.shown(text);
    }
}
