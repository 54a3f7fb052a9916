//! Cargo subcommands that are installed when first needed.

use std::path::PathBuf;

use anyhow::Result;
use devservers::{Stop, succeed};

use devservers::workspace::Workspace;

/// A cargo subcommand at a fixed version, built once into `target/tools`.
pub fn cargo_tool(name: &str, version: &str, workspace: &Workspace, stop: &Stop) -> Result<PathBuf> {
    // The version is part of the directory: a new one is installed by changing the number here.
    let root = workspace.target.join("tools").join(format!("{name}-{version}"));
    let binary = root.join("bin").join(name);
    if !binary.exists() {
        println!("installing {name} {version} (some minutes, once)");
        let mut install = workspace.cargo(&["install", "--locked", "--quiet", name, "--version", version, "--root"]);
        succeed(install.arg(&root), stop)?;
    }
    Ok(binary)
}
