//! The secret of a development server: made once, kept beside the data, readable by its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use kernel::{Random, Secret};

/// A new secret: 48 random bytes as text.
pub fn generate(random: &Random) -> String {
    base64::engine::general_purpose::STANDARD.encode(random.bytes::<48>())
}

/// Reads the secret kept in a file, making it first if it is not there. Two processes that start at once get the same
/// one, and one killed half-way leaves none.
pub fn keep(file: &Path, random: &Random) -> Result<Secret<String>> {
    match read(file) {
        Ok(Some(secret)) => return Ok(secret),
        Ok(None) => {}
        Err(error) => return Err(error),
    }
    let own = file.with_extension(format!("{}.new", std::process::id()));
    write(&own, &generate(random)).with_context(|| {
        format!("cannot write {}; give its folder to the user the server runs as, or set secret_key", own.display())
    })?;
    // A link appears whole or not at all, and never replaces what another process has put there.
    let linked = fs::hard_link(&own, file);
    let removed = fs::remove_file(&own);
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}; set secret_key instead", file.display()));
        }
        _ => removed.with_context(|| format!("cannot remove {}", own.display()))?,
    }
    if let Some(folder) = file.parent() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("cannot save {}", file.display()))?;
    }
    read(file)?.with_context(|| format!("{} was taken away while it was made; start again", file.display()))
}

fn write(file: &Path, secret: &str) -> std::io::Result<()> {
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    open.write_all(secret.as_bytes())?;
    open.write_all(b"\n")?;
    open.sync_all()
}

fn read(file: &Path) -> Result<Option<Secret<String>>> {
    let shown = file.display();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read the secret in {shown}")),
    };
    let mode = fs::metadata(file).with_context(|| format!("cannot read {shown}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{shown} holds the secret from which every key is made, and others may read it; run `chmod 600 {shown}`");
    }
    let secret = text.trim();
    if secret.is_empty() {
        bail!("{shown} is empty; remove it to get a new secret (everyone has to sign in again), or restore it");
    }
    Ok(Some(Secret::new(secret.to_owned())))
}
