use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use toml::{Table, Value};

use super::environment::{Ignored, Meaning, meaning};
use super::public_url::PublicUrl;
use super::section::secret_keys;
use super::{CoreSettings, Section, Settings};

/// Where a value came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A settings file.
    File(String),
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "in {path}"),
            Origin::Environment(name) => write!(f, "in the environment ({name})"),
            Origin::Flag(name) => write!(f, "on the command line ({name})"),
        }
    }
}

/// What is wrong with the settings, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

/// The prefix of environment variables that are settings: `MAINSTAY_DATABASE__URL` is `database.url`.
pub const PREFIX: &str = "MAINSTAY_";

/// Merges layers of settings over the defaults.
pub struct SettingsBuilder {
    sections: Vec<Section>,
    tree: Table,
    ignored: Vec<Ignored>,
}

impl fmt::Debug for SettingsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsBuilder").field("sections", &self.sections).finish_non_exhaustive()
    }
}

impl SettingsBuilder {
    /// The defaults of the process and of these domains.
    pub fn new(domains: Vec<Section>) -> Self {
        let mut sections = Section::core();
        sections.extend(domains);
        let tree = tree(sections.iter().map(|s| (s.name, &s.defaults)));
        Self { sections, tree, ignored: Vec::new() }
    }

    /// Lays the text of a settings file over what is there.
    ///
    /// # Errors
    /// When it is not TOML, has a key nobody knows, or a value of another kind.
    pub fn file(&mut self, path: &str, text: &str) -> Result<(), SettingsError> {
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            // Its line, and not its text: there may be a secret in it.
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            SettingsError(format!("{path} is not TOML, at line {line}: {}", e.message()))
        })?;
        overlay(&mut self.tree, table, "", &Origin::File(path.to_owned()))
    }

    /// Lays environment variables over what is there. Those without our prefix are not ours, and of the others those are
    /// left out ([`ignored`](Self::ignored)) that no person meant for us. An empty one is as good as none. How many were
    /// settings.
    ///
    /// # Errors
    /// As for a file.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, OsString)>,
    ) -> Result<usize, SettingsError> {
        let mut ours: Vec<(String, OsString)> =
            variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort();
        let keys = self.keys();
        let mut count = 0;
        for (name, value) in ours {
            let value = value.to_str();
            // `docker compose` and Helm hand on what was never set. And the tests name the server they start.
            if value.is_some_and(|value| value.trim().is_empty()) || name.starts_with("MAINSTAY_TEST_") {
                continue;
            }
            match (meaning(&name[PREFIX.len()..], value, &keys), value) {
                (Meaning::Setting(key), Some(value)) => {
                    self.set(&key, value, &Origin::Environment(name))?;
                    count += 1;
                }
                (Meaning::Setting(_), None) => {
                    return Err(SettingsError(format!("the environment variable {name} is not UTF-8; set it again")));
                }
                (Meaning::Ignored(why), _) => self.ignored.push(Ignored { name, why }),
                (Meaning::Mistake(advice), _) => {
                    let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
                    return Err(no_setting(&key, &Origin::Environment(name), &advice));
                }
            }
        }
        Ok(count)
    }

    /// The environment variables that begin as ours do, and were not read.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// Lays one value, given as text, over what is there.
    ///
    /// # Errors
    /// As for a file.
    pub fn set(&mut self, key: &str, text: &str, origin: &Origin) -> Result<(), SettingsError> {
        let mut names: Vec<&str> = key.split('.').collect();
        let last = names.pop().unwrap_or_default();
        let mut table = &mut self.tree;
        for name in &names {
            table = match table.get_mut(*name) {
                Some(Value::Table(inner)) => inner,
                _ => return Err(unknown(key, &self.keys(), origin)),
            };
        }
        let known = match table.get(last) {
            Some(Value::Table(_)) | None => return Err(unknown(key, &self.keys(), origin)),
            Some(known) => known,
        };
        let wrong = |kind: &str| SettingsError(format!("{key} {origin} must be {kind}, but is `{text}`"));
        let value = match known {
            Value::String(_) => Value::String(text.to_owned()),
            Value::Integer(_) => Value::Integer(text.trim().parse().map_err(|_| wrong("a whole number"))?),
            Value::Float(_) => Value::Float(text.trim().parse().map_err(|_| wrong("a number"))?),
            Value::Boolean(_) => Value::Boolean(text.trim().parse().map_err(|_| wrong("`true` or `false`"))?),
            Value::Array(_) => {
                let items = text.split(',').map(str::trim).filter(|s| !s.is_empty());
                Value::Array(items.map(|s| Value::String(s.to_owned())).collect())
            }
            Value::Datetime(_) | Value::Table(_) => return Err(unknown(key, &self.keys(), origin)),
        };
        table.insert(last.to_owned(), value);
        Ok(())
    }

    /// Every key there is, dotted.
    fn keys(&self) -> Vec<String> {
        fn walk(table: &Table, prefix: &str, out: &mut Vec<String>) {
            for (name, value) in table {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                match value {
                    Value::Table(inner) => walk(inner, &key, out),
                    _ => out.push(key),
                }
            }
        }
        let mut out = Vec::new();
        let defaults = tree(self.sections.iter().map(|s| (s.name, &s.defaults)));
        walk(&defaults, "", &mut out);
        out
    }

    /// The present value of a key, as text.
    pub fn value(&self, key: &str) -> Option<String> {
        let mut value = None;
        let mut table = Some(&self.tree);
        for name in key.split('.') {
            value = table?.get(name);
            table = value.and_then(Value::as_table);
        }
        match value? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// Checks everything and gives the settings out.
    ///
    /// # Errors
    /// Every section that contradicts itself, and what the mode forbids.
    pub fn build(self) -> Result<Settings, SettingsError> {
        let mut errors = Vec::new();
        let mut sections = BTreeMap::new();
        let mut secrets = Vec::new();
        for section in &self.sections {
            let table: Table = if section.name.is_empty() {
                self.tree
                    .iter()
                    .filter(|(k, _)| section.defaults.contains_key(*k))
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect()
            } else {
                self.tree.get(section.name).and_then(Value::as_table).cloned().unwrap_or_default()
            };
            if let Err(fault) = (section.validate)(&table) {
                let heading = if section.name.is_empty() { String::new() } else { format!("[{}] ", section.name) };
                errors.push(format!("{heading}{fault}"));
            }
            secret_keys(section.name, &section.schema, &mut secrets);
            sections.insert(section.name.to_owned(), table);
        }
        if !errors.is_empty() {
            return Err(SettingsError(errors.join("\n")));
        }
        let broken = |e: toml::de::Error| SettingsError(e.message().to_owned());
        let top = sections.get("").cloned().unwrap_or_default();
        let mut core: CoreSettings = top.try_into().map_err(broken)?;
        if let Ok(url) = PublicUrl::read(&core.public_url) {
            // As it is compared and shown from now on.
            core.public_url = url.text();
            if let Some(top) = sections.get_mut("") {
                top.insert("public_url".to_owned(), Value::String(url.text()));
            }
        }
        let read = |name: &str| sections.get(name).cloned().unwrap_or_default();
        let settings = Settings {
            mode: core.mode,
            secret_key: core.secret_key,
            public_url: core.public_url,
            server: read("server").try_into().map_err(broken)?,
            database: read("database").try_into().map_err(broken)?,
            cache: read("cache").try_into().map_err(broken)?,
            operations: read("operations").try_into().map_err(broken)?,
            limits: read("limits").try_into().map_err(broken)?,
            log: read("log").try_into().map_err(broken)?,
            sections,
            secrets,
        };
        settings.check_mode()?;
        Ok(settings)
    }
}

/// Sections under their headings, as one table; the section without a name stands at the top.
pub(super) fn tree<'a>(sections: impl Iterator<Item = (&'a str, &'a Table)>) -> Table {
    let mut tree = Table::new();
    for (name, table) in sections {
        if name.is_empty() {
            tree.extend(table.clone());
        } else {
            tree.insert(name.to_owned(), Value::Table(table.clone()));
        }
    }
    tree
}

fn overlay(base: &mut Table, over: Table, prefix: &str, origin: &Origin) -> Result<(), SettingsError> {
    let known: Vec<String> = base.keys().map(|k| format!("{prefix}{k}")).collect();
    for (name, value) in over {
        let key = format!("{prefix}{name}");
        match (base.get_mut(&name), value) {
            (None, _) => return Err(unknown(&key, &known, origin)),
            (Some(Value::Table(inner)), Value::Table(over)) => overlay(inner, over, &format!("{key}."), origin)?,
            (Some(slot), value) if slot.same_type(&value) => *slot = value,
            (Some(slot @ Value::Float(_)), Value::Integer(n)) => *slot = Value::Float(n as f64),
            (Some(slot), value) => {
                return Err(SettingsError(format!(
                    "{key} {origin} must be {}, but is {}",
                    kind_word(slot),
                    kind_word(&value)
                )));
            }
        }
    }
    Ok(())
}

fn kind_word(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text in quotes",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a heading",
    }
}

/// Settings that had another name.
pub(super) const RENAMED: &[(&str, &str)] = &[("server.lanes", "server.workers")];

fn unknown(key: &str, known: &[String], origin: &Origin) -> SettingsError {
    let renamed = RENAMED.iter().find(|(before, _)| *before == key).map(|(_, now)| *now);
    let nearest = known.iter().min_by_key(|k| distance(k, key)).filter(|k| distance(k, key) <= key.len() / 3 + 1);
    let hint = match renamed.or(nearest.map(String::as_str)) {
        Some(best) => format!("Did you mean `{best}`?"),
        None => "`mainstay config show` lists every setting.".to_owned(),
    };
    no_setting(key, origin, &hint)
}

fn no_setting(key: &str, origin: &Origin, hint: &str) -> SettingsError {
    SettingsError(format!("there is no setting `{key}` ({origin}). {hint}"))
}

/// Levenshtein's distance, for "did you mean".
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = substituted.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(file: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let mut builder = SettingsBuilder::new(vec![]);
        builder.file("mainstay.toml", file).map_err(|e| e.0)?;
        builder.environment(environment.iter().map(|(k, v)| ((*k).into(), (*v).into()))).map_err(|e| e.0)?;
        builder.build().map_err(|e| e.0)
    }

    #[test]
    fn later_layers_win() {
        let settings =
            build("[server]\nlisten = \"127.0.0.1:1\"\nworkers = 3", &[("MAINSTAY_SERVER__LISTEN", "127.0.0.1:2")])
                .unwrap();
        assert_eq!((settings.server.listen.port(), settings.server.workers), (2, 3));
    }

    #[test]
    fn each_mistake_says_its_mending() {
        for (file, environment, expected) in [
            (
                "[server]\nlisen = 1",
                vec![],
                "there is no setting `server.lisen` (in mainstay.toml). Did you mean `server.listen`?",
            ),
            ("nonsense = ", vec![], "mainstay.toml is not TOML"),
            (
                "[server]\nworkers = \"two\"",
                vec![],
                "server.workers in mainstay.toml must be a whole number, but is text in quotes",
            ),
            (
                "",
                vec![("MAINSTAY_SERVER__WORKERS", "two")],
                "server.workers in the environment (MAINSTAY_SERVER__WORKERS) must be a whole number, but is `two`",
            ),
            ("", vec![("MAINSTAY_SERVER__WORKER", "2")], "Did you mean `server.workers`?"),
            ("", vec![("MAINSTAY_SERVER__LANES", "2")], "Did you mean `server.workers`?"),
            ("[server]\nlanes = 2", vec![], "Did you mean `server.workers`?"),
            ("mode = \"staging\"", vec![], "unknown variant `staging`"),
            ("[server]\nlisten = \"0.0.0.0:80\"", vec![], "Set mode = \"production\""),
            ("mode = \"production\"", vec![], "secret_key is not set"),
            ("secret_key = \"short\"", vec![], "32 or more are needed"),
            ("mode = \"production\"\nsecret_key = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", vec![], "guessable"),
            (
                "mode = \"production\"\nsecret_key = \"xq4Jv0cZpT2mWb8RkL6yHs3NfGd7Ue1A\"",
                vec![],
                "public_url is not set",
            ),
            ("public_url = \"example.com\"", vec![], "write scheme and host only"),
            ("public_url = \"https://me@example.com\"", vec![], "names a user"),
            (
                "",
                vec![("MAINSTAY_SERVER_WORKERS", "2")],
                "Did you mean `server.workers`? Its variable is MAINSTAY_SERVER__WORKERS.",
            ),
            ("[server.cors]\norigins = [\"null\"]", vec![], "no browser sends"),
            ("[server]\nlisten = \"here\"", vec![], "[server] listen: invalid socket address"),
            ("[server]\nmax_body_bytes = 0", vec![], "Set it to 1 or more"),
            ("[log]\nfilter = \"inof\"", vec![], "[log] the log filter `inof` has `inof`"),
        ] {
            let error = build(file, &environment).map(|s| s.show()).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        let file = "public_url = \"https://example.com\"\n[server]\nworkers = 3\ntrusted_proxies = [\"10.0.0.1\"]";
        let names = [
            "MODE",
            "SECRET_KEY",
            "PUBLIC_URL",
            "SERVER__WORKERS",
            "SERVER__TRUSTED_PROXIES",
            "DATABASE__URL",
            "SERVER__LISTN",
        ];
        for empty in ["", " ", "\n"] {
            let variables = names.map(|name| (format!("{PREFIX}{name}"), empty.into()));
            let mut builder = SettingsBuilder::new(vec![]);
            builder.file("mainstay.toml", file).unwrap();
            assert_eq!(builder.environment(variables).unwrap(), 0);
            assert_eq!(builder.ignored(), []);
            let settings = builder.build().unwrap();
            assert_eq!(settings.public_url, "https://example.com");
            assert_eq!((settings.server.workers, settings.server.trusted_proxies.len()), (3, 1));
        }
    }

    #[test]
    fn only_a_settings_variable_must_be_readable() {
        use std::os::unix::ffi::OsStringExt;
        let of = |name: &str| {
            let mut builder = SettingsBuilder::new(vec![]);
            builder.environment([(name.to_owned(), OsString::from_vec(vec![b'x', 0xff]))]).map_err(|e| e.0)?;
            Ok::<_, String>(builder.ignored().len())
        };
        assert_eq!(of("MAINSTAY_HOME"), Ok(1));
        assert!(of("MAINSTAY_SECRET_KEY").unwrap_err().contains("MAINSTAY_SECRET_KEY is not UTF-8"));
        assert_eq!(of("OTHER"), Ok(0));
    }

    #[test]
    fn the_public_url_is_written_in_one_way() {
        let settings = build("public_url = \"HTTPS://Example.com:443/app/\"", &[]).unwrap();
        assert_eq!((settings.public_url.as_str(), settings.base_path().as_str()), ("https://example.com/app", "/app"));
        assert!(settings.show().contains("public_url = \"https://example.com/app\""));
        assert_eq!(build("", &[]).unwrap().base_path(), "");
    }

    #[test]
    fn a_files_secrets_are_found() {
        let settings = build("", &[]).unwrap();
        let of = |text: &str| settings.secrets_in(text).join(" ");
        assert_eq!(
            of("secret_key = \"x\"\n[database]\nurl = \"postgres://u:p@h/d\"\npool_size = 3"),
            "secret_key database.url"
        );
        assert_eq!(of("[database]\nurl = \"postgres://h/d\"\n[cache]\nurl = \"memory:\""), "");
    }

    #[test]
    fn secrets_are_shown_as_dots() {
        let settings = build(
            "secret_key = \"https://hunter1:0123456789abcdef@hunter4/hunter5\"\n[database]\nurl = \"postgres://me:hunter2@db/x?password=hunter3\"",
            &[],
        )
        .unwrap();
        let shown = settings.show() + &format!("{settings:?}");
        for secret in ["0123456789abcdef", "hunter"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(settings.show().contains("postgres://me:••••••••@db/x"));
    }
}
