use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use kernel::{Random, Secret};

use super::cli::Flags;
use super::secret;
use crate::{Origin, PREFIX, Section, Settings, SettingsBuilder};

/// The settings file that is read when none is named and this one is there.
const USUAL_FILE: &str = "mainstay.toml";

/// The secret of a development server, in the data folder.
pub const SECRET_FILE: &str = "secret.key";

/// What the settings are read for, and so what may be made on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To print or judge them: nothing is made.
    Look,
    /// To open the database: its folder may be made.
    Migrate,
    /// To do everything: a development secret may be made besides.
    Serve,
}

/// The settings in force, and where they came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The data folder.
    pub data: PathBuf,
    /// The settings file that was named on the command line.
    pub config: Option<PathBuf>,
    /// What was read, in order.
    pub sources: Vec<String>,
}

/// Every heading there is: the process's own, then the domains'.
pub fn all(domains: Vec<Section>) -> Vec<Section> {
    let mut sections = Section::core();
    sections.extend(domains);
    sections
}

/// Reads defaults, file, environment and flags, and checks everything before anything is made.
pub fn load(domains: Vec<Section>, flags: &Flags, listen: Option<SocketAddr>, purpose: Purpose) -> Result<Loaded> {
    let loaded = read(domains.clone(), flags, listen, None)?;
    let settings = &loaded.settings;
    let needs_secret = purpose == Purpose::Serve && settings.secret_key.expose().is_empty();
    let is_kept_in_data = settings.database.url.expose().starts_with(&format!("sqlite://{}/", loaded.data.display()));
    if needs_secret || (purpose != Purpose::Look && is_kept_in_data) {
        make_folder(&loaded.data)?;
    }
    if !needs_secret {
        return Ok(loaded);
    }
    // Only in development mode: production has refused to go on without one.
    let file = loaded.data.join(SECRET_FILE);
    let kept = secret::keep(&file, &Random::os())?;
    read(domains, flags, listen, Some((&file, &kept)))
}

fn read(
    domains: Vec<Section>,
    flags: &Flags,
    listen: Option<SocketAddr>,
    kept: Option<(&Path, &Secret<String>)>,
) -> Result<Loaded> {
    let mut builder = SettingsBuilder::new(domains);
    let mut sources = vec!["the defaults".to_owned()];

    // The data folder moves what is kept in it by default; a `database.url` that anyone sets wins.
    let data = flags.data.to_str().context("--data is not UTF-8; choose another name")?;
    let data = if data.len() > 1 { data.trim_end_matches('/') } else { data };
    builder.set("database.url", &format!("sqlite://{data}/mainstay.db"), &Origin::Flag("--data".to_owned()))?;

    if let Some((path, text)) = file(flags.config.as_deref())? {
        builder.file(&path, &text)?;
        sources.push(path);
    }
    let variables = environment()?;
    if !variables.is_empty() {
        sources.push("the environment".to_owned());
    }
    builder.environment(variables)?;
    if let Some(listen) = listen {
        builder.set("server.listen", &listen.to_string(), &Origin::Flag("--listen".to_owned()))?;
        sources.push("--listen".to_owned());
    }
    if let Some((file, secret)) = kept {
        builder.set("secret_key", secret.expose(), &Origin::File(file.display().to_string()))?;
    }
    let settings = builder.build().map_err(|error| anyhow!("the settings are not good:\n{error}"))?;
    Ok(Loaded { settings, data: PathBuf::from(data), config: flags.config.clone(), sources })
}

/// The settings file's path and text: the one that was named, or the usual one if it is there.
fn file(named: Option<&Path>) -> Result<Option<(String, String)>> {
    let path = named.unwrap_or(Path::new(USUAL_FILE));
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.display().to_string(), text))),
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) => Err(error)
            .with_context(|| format!("cannot read the settings file {}; name another with --config", path.display())),
    }
}

/// Our variables. The one place in the house that reads the environment.
fn environment() -> Result<Vec<(String, String)>> {
    let text = |words: OsString| words.into_string().ok();
    let mut ours = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = text(name).filter(|name| name.starts_with(PREFIX)) else { continue };
        match text(value) {
            Some(value) => ours.push((name, value)),
            None => bail!("the environment variable {name} is not UTF-8; set it again"),
        }
    }
    Ok(ours)
}

fn make_folder(folder: &Path) -> Result<()> {
    let shown = folder.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the data folder {shown}; name one that the server may write with --data"))
}
