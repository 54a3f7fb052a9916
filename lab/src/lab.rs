//! Where everything is: the repository, the targets, a scratch folder, the cores.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Deserialize;

use crate::process::{self, Stop};

/// What every part of a run needs to know.
pub struct Lab {
    /// The repository.
    pub root: PathBuf,
    /// What the lab builds; below the repository's target folder, so that git does not see it.
    pub build_dir: PathBuf,
    /// Where cargo puts the product as it is shipped.
    pub product: PathBuf,
    /// The targets' folders.
    pub targets: PathBuf,
    /// For databases and logs of this run. Goes with this value.
    pub scratch: PathBuf,
    /// Whether we were asked to end.
    pub stop: Stop,
    /// How many cores we may use.
    pub cores: usize,
    /// For targets that want one; another in each run.
    pub secret: String,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Lab {
    /// Asks cargo where things are and makes the scratch folder.
    pub fn open(stop: Stop) -> Result<Self> {
        let text = process::output(
            Command::new("cargo")
                .args(["metadata", "--no-deps", "--format-version", "1"])
                .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")),
        )?;
        let metadata: Metadata = serde_json::from_str(&text).context("cannot read cargo's metadata")?;
        let scratch = std::env::temp_dir().join(format!("mainstay-lab-{}", std::process::id()));
        if scratch.exists() {
            fs::remove_dir_all(&scratch).with_context(|| format!("cannot clear {}", scratch.display()))?;
        }
        fs::create_dir(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        // Thousands of connections need as many files, here and in the servers, which inherit it.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit of open files")?;
        let mut secret = [0; 32];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut secret)).context("cannot make a secret")?;
        let cores = std::thread::available_parallelism().context("cannot count the cores")?.get();
        Ok(Self {
            targets: metadata.workspace_root.join("lab/targets"),
            root: metadata.workspace_root,
            product: metadata.target_directory.join("dist"),
            build_dir: metadata.target_directory.join("lab"),
            scratch,
            stop,
            cores,
            secret: secret.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// An empty folder below the scratch folder.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Whether the programs that drive and pin are there; says what to install.
    pub fn needs_drivers(&self) -> Result<()> {
        for (program, package) in [("wrk", "wrk"), ("taskset", "util-linux"), ("sqlite3", "sqlite3")] {
            if !process::is_there(program) {
                bail!(
                    "needs {program}: install it (on Debian or Ubuntu: sudo apt-get install {package}) and run this again"
                );
            }
        }
        if self.cores < 2 {
            bail!("needs two cores: one for the server and one for the driver");
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.scratch) {
            eprintln!("could not remove {}: {error}", self.scratch.display());
        }
    }
}

/// Copies a folder's files and folders.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
