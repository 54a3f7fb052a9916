//! What cargo knows about the workspace: its root, its target directory, its packages and their dependencies.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The package of the server, and the binary it builds.
pub const SERVER: (&str, &str) = ("mainstay-server", "mainstay");

/// The workspace as `cargo metadata --no-deps` tells it.
pub struct Workspace {
    /// The directory of the root manifest.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// The members.
    pub packages: Vec<Package>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name, such as `mainstay-store`.
    pub name: String,
    /// Its directory relative to the root, such as `crates/store`.
    pub dir: String,
    /// All it depends on, ours and others'.
    pub dependencies: Vec<Dependency>,
}

/// One dependency of a member.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The package's name (not the local alias).
    pub name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

impl Workspace {
    /// Asks cargo.
    pub fn load() -> Result<Self> {
        // From our own manifest's directory, so that it works from wherever the command is typed.
        let text = process::output(
            Command::new("cargo")
                .args(["metadata", "--no-deps", "--format-version", "1"])
                .current_dir(env!("CARGO_MANIFEST_DIR")),
        )?;
        Self::read_from(&text)
    }

    /// Reads what cargo tells.
    pub fn read_from(metadata: &str) -> Result<Self> {
        let metadata: Metadata = serde_json::from_str(metadata).context("cannot read cargo's metadata")?;
        let root = metadata.workspace_root;
        let packages = metadata.packages.into_iter().map(|package| {
            let dir = package.manifest_path.parent().unwrap_or(&package.manifest_path);
            let dir = dir.strip_prefix(&root).unwrap_or(dir).to_string_lossy().into_owned();
            Package { name: package.name, dir, dependencies: package.dependencies }
        });
        Ok(Self { packages: packages.collect(), root, target: metadata.target_directory })
    }

    /// A `cargo` command to run at the root.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(args).current_dir(&self.root);
        command
    }

    /// Whether the server is a member yet. Until it is, what is derived from it cannot be.
    pub fn has_server(&self) -> bool {
        self.packages.iter().any(|package| package.name == SERVER.0)
    }

    /// The files git would keep (tracked, or new and not ignored), relative to the root, sorted.
    pub fn files(&self) -> Result<Vec<String>> {
        let text = process::output(
            Command::new("git")
                // CI often checks out as one user and runs as another; listing names is harmless.
                .args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"])
                .current_dir(&self.root),
        )?;
        let names = text.split('\0').filter(|name| !name.is_empty() && self.root.join(name).is_file());
        let mut files: Vec<String> = names.map(str::to_owned).collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Reads one of them.
    pub fn read(&self, file: impl AsRef<Path>) -> Result<String> {
        let path = self.root.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}
