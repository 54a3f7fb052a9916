use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use kernel::{Random, Secret};
use store::StoreSettings;

use super::cli::Flags;
use super::secret;
use app::{Ignored, Origin, Section, Settings, SettingsBuilder};

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
    /// Environment variables that begin as ours do, and were not read.
    pub ignored: Vec<Ignored>,
}

impl Loaded {
    /// The settings file that was read, or would have been.
    pub fn file(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| USUAL_FILE.into())
    }
}

/// Every heading there is: the process's own, then the domains'.
pub fn all(domains: Vec<Section>) -> Vec<Section> {
    let mut sections = Section::core();
    sections.extend(domains);
    sections
}

/// Reads defaults, file, environment and flags, and checks everything before anything is made.
pub fn load(domains: Vec<Section>, flags: &Flags, listen: Option<SocketAddr>, purpose: Purpose) -> Result<Loaded> {
    load_after(domains, flags, listen, purpose, |_| Ok(())).map(|(loaded, ())| loaded)
}

/// The same, once `check` is content with the settings as well.
pub fn load_after<T>(
    domains: Vec<Section>,
    flags: &Flags,
    listen: Option<SocketAddr>,
    purpose: Purpose,
    check: impl FnOnce(&Settings) -> Result<T>,
) -> Result<(Loaded, T)> {
    let loaded = read(domains.clone(), flags, listen, None)?;
    let checked = check(&loaded.settings)?;
    let settings = &loaded.settings;
    let needs_secret = purpose == Purpose::Serve && settings.secret_key.expose().is_empty();
    let is_kept_in_data =
        settings.database.sqlite_file().is_some_and(|file| Path::new(&file).starts_with(&loaded.data));
    if needs_secret || (purpose != Purpose::Look && is_kept_in_data) {
        make_folder(&loaded.data)?;
    }
    if !needs_secret {
        return Ok((loaded, checked));
    }
    // Only in development mode: production has refused to go on without one.
    let file = loaded.data.join(SECRET_FILE);
    let kept = secret::keep(&file, &Random::os())?;
    Ok((read(domains, flags, listen, Some((&file, &kept)))?, checked))
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
    let data =
        if data.starts_with('/') && data.trim_end_matches('/').is_empty() { "/" } else { data.trim_end_matches('/') };
    let url = StoreSettings::sqlite_url(&format!("{data}/mainstay.db"));
    builder.set("database.url", &url, &Origin::Flag("--data".to_owned()))?;

    if let Some((path, text)) = file(flags.config.as_deref())? {
        builder.file(&path, &text)?;
        sources.push(path);
    }
    if builder.environment(environment())? > 0 {
        sources.push("the environment".to_owned());
    }
    let ignored = builder.ignored().to_vec();
    if let Some(listen) = listen {
        builder.set("server.listen", &listen.to_string(), &Origin::Flag("--listen".to_owned()))?;
        sources.push("--listen".to_owned());
    }
    if let Some((file, secret)) = kept {
        builder.set("secret_key", secret.expose(), &Origin::File(file.display().to_string()))?;
    }
    let settings = builder.build().map_err(|error| anyhow!("the settings are not good:\n{error}"))?;
    Ok(Loaded { settings, data: PathBuf::from(data), config: flags.config.clone(), sources, ignored })
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

/// Every variable whose name can be read. The one place in the house that reads the environment.
fn environment() -> impl Iterator<Item = (String, OsString)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
}

fn make_folder(folder: &Path) -> Result<()> {
    let shown = folder.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the data folder {shown}; name one that the server may write with --data"))
}
