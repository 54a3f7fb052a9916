//! Programs of the system, installed when first needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use nix::unistd::geteuid;

use crate::process::{self, Stop};

/// Where `program` is in the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    let found = process::output(Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program])).ok()?;
    Some(PathBuf::from(found.trim()))
}

/// Makes sure `program` is there, from the Debian `package` if need be; returns where it is.
///
/// # Errors
/// When it is missing and cannot be installed; the message says what to type.
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

/// Installs Debian packages where we may (as root, with apt-get).
///
/// # Errors
/// When we may not, or it fails; the message says what to type.
pub fn apt_install(packages: &[&str], stop: &Stop) -> Result<()> {
    let wanted = packages.join(" ");
    if !geteuid().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        bail!("needs {wanted}: install it (on Debian or Ubuntu: sudo apt-get install {wanted}) and run this again");
    }
    println!("installing {wanted}");
    process::succeed(Command::new("apt-get").args(["update", "-qq"]), stop)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages);
    // A package of a server starts it, on the port that everybody knows. We start our own, and this machine may have one.
    // Without systemd its starter looks at the runlevel (1: maintenance); with it, systemctl at the other.
    install.env("RUNLEVEL", "1").env("SYSTEMD_OFFLINE", "1");
    process::succeed(install.env("DEBIAN_FRONTEND", "noninteractive"), stop)
}
