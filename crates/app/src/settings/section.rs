use std::fmt;

use cache::CacheSettings;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::StoreSettings;
use toml::{Table, Value};
use web::{LimitSettings, ServerSettings};

use super::shown::Secrecy;
use super::{CoreSettings, LogSettings};
use crate::OperationsSettings;

/// A struct of settings: every field has a default, and contradictions are errors.
pub trait SettingsOf: Default + Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// Contradictions between the fields, each with what to do.
    ///
    /// # Errors
    /// The first contradiction.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// One heading of the settings: what stands under it by default, what it means, and how it is checked.
#[derive(Clone)]
pub struct Section {
    /// The heading; empty for the top.
    pub name: &'static str,
    /// Every key with its default.
    pub defaults: Table,
    /// The JSON Schema, whose descriptions are the reference.
    pub schema: serde_json::Value,
    pub(super) validate: fn(&Table) -> Result<(), String>,
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({})", self.name)
    }
}

impl Section {
    /// The section of a struct under a heading.
    pub fn of<S: SettingsOf>(name: &'static str) -> Self {
        let mut defaults = Table::try_from(S::default()).unwrap_or_default();
        // Secrets are written as dots; their default is empty.
        clear_secrets(&mut defaults);
        let schema = schemars::generate::SchemaSettings::draft2020_12()
            .with(|s| s.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<S>()
            .to_value();
        let validate = |table: &Table| {
            let read = serde_path_to_error::deserialize::<_, S>(Value::Table(table.clone()));
            let told = |message: &str| format!("{message}{}", advice(message));
            read.map_err(|e| format!("{}: {}", e.path(), told(e.inner().message()))).and_then(|s| s.validate())
        };
        Self { name, defaults, schema, validate }
    }

    /// The settings of the process itself.
    pub fn core() -> Vec<Self> {
        let mut database = Self::of::<StoreSettings>("database");
        database.defaults.insert("url".into(), Value::String("sqlite://data/mainstay.db".into()));
        let mut cache = Self::of::<CacheSettings>("cache");
        cache.defaults.insert("url".into(), Value::String("memory:".into()));
        vec![
            Self::of::<CoreSettings>(""),
            Self::of::<ServerSettings>("server"),
            database,
            cache,
            Self::of::<LimitSettings>("limits"),
            Self::of::<OperationsSettings>("operations"),
            Self::of::<LogSettings>("log"),
        ]
    }
}

fn clear_secrets(table: &mut Table) {
    for (_, value) in table.iter_mut() {
        match value {
            Value::String(text) if text.starts_with('•') => text.clear(),
            Value::Table(inner) => clear_secrets(inner),
            _ => {}
        }
    }
}

/// The dotted keys whose values are secret, by their schema, and how each is shown.
pub(super) fn secret_keys(section: &str, schema: &serde_json::Value, out: &mut Vec<(String, Secrecy)>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match Secrecy::of(property) {
            Some(secrecy) => out.push((key, secrecy)),
            None => secret_keys(&key, property, out),
        }
    }
}

/// What to write instead, where the reader's own words do not say it.
fn advice(message: &str) -> &'static str {
    if message.contains("socket address") { "; write an address and a port, as in 127.0.0.1:8080" } else { "" }
}
