use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use kernel::{Clock, Random};
use store::StoreSettings;

use super::secret;
use app::{App, Origin, RunningApp, SettingsBuilder};

/// The app as it describes itself, over a database of its own that is gone afterwards: whatever is configured is
/// neither read nor touched.
pub fn start(app: App) -> Result<RunningApp> {
    let folder = Scratch::new()?;
    let mut builder = SettingsBuilder::new(app.sections());
    let here = Origin::Flag("this command".to_owned());
    let url = StoreSettings::sqlite_url(&folder.0.join("mainstay.db").display().to_string());
    builder.set("database.url", &url, &here)?;
    builder.set("secret_key", &secret::generate(&Random::os()), &here)?;
    let settings = builder.build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let running = app.start(settings, Clock::system(), Random::os()).await?;
        running.store.close().await;
        Ok(running)
    })
}

/// A folder that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name = u64::from_le_bytes(Random::os().bytes());
        let path = std::env::temp_dir().join(format!("mainstay-{name:016x}"));
        DirBuilder::new().mode(0o700).create(&path).with_context(|| {
            format!("cannot make {} for a moment; set TMPDIR to a folder that can be written", path.display())
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
