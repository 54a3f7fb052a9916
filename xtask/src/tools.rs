//! Programs that are not part of the Rust toolchain, installed when first needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use nix::unistd::geteuid;

use crate::child::{self, Stop};
use crate::workspace::Workspace;

/// A cargo subcommand at a fixed version, built once into `target/tools`.
pub fn cargo_tool(name: &str, version: &str, workspace: &Workspace, stop: &Stop) -> Result<PathBuf> {
    // The version is part of the directory: a new one is installed by changing the number here.
    let root = workspace.target.join("tools").join(format!("{name}-{version}"));
    let binary = root.join("bin").join(name);
    if !binary.exists() {
        println!("installing {name} {version} (some minutes, once)");
        let mut install = workspace.cargo(&["install", "--locked", "--quiet", name, "--version", version, "--root"]);
        child::succeed(install.arg(&root), stop)?;
    }
    Ok(binary)
}

/// Where `program` is in the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    let found = child::output(Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program])).ok()?;
    Some(PathBuf::from(found.trim()))
}

/// Makes sure `program` is there, from the Debian `package` if need be.
pub fn system_tool(program: &str, package: &str, stop: &Stop) -> Result<PathBuf> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    apt_install(&[package], stop)?;
    match find(program) {
        Some(path) => Ok(path),
        None => bail!("the package {package} was installed, but {program} is still not in the search path"),
    }
}

/// Installs Debian packages where we may; otherwise says what to type.
pub fn apt_install(packages: &[&str], stop: &Stop) -> Result<()> {
    let wanted = packages.join(" ");
    if !geteuid().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        bail!("needs {wanted}: install it (on Debian or Ubuntu: sudo apt-get install {wanted}) and run this again");
    }
    println!("installing {wanted}");
    child::succeed(Command::new("apt-get").args(["update", "-qq"]), stop)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages);
    // A package of a server starts it, on the port that everybody knows. We start our own, and this machine may have one.
    // Without systemd its starter looks at the runlevel (1: maintenance); with it, systemctl at the other.
    install.env("RUNLEVEL", "1").env("SYSTEMD_OFFLINE", "1");
    child::succeed(install.env("DEBIAN_FRONTEND", "noninteractive"), stop)
}
