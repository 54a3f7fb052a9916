//! The dependency policy of `deny.toml`, judged by cargo-deny.
//!
//! Why a tool and not ten lines over `cargo metadata`: licences are expressions, and cargo-deny reads them as such.
//! Cold it takes three and a half minutes to build on two cores, once; CI keeps `target/tools`.

use std::process::Command;

use anyhow::{Context, Result};

use crate::child::{self, Stop};
use crate::tools;
use crate::workspace::Workspace;

/// Bans, licences and sources. Advisories need a database from the network: `cargo deny check advisories` by hand.
pub fn check(workspace: &Workspace, stop: &Stop) -> Result<()> {
    let deny = tools::cargo_tool("cargo-deny", "0.20.2", workspace, stop)?;
    // Offline, cargo wants every crate of the lock file at hand, those for other systems included.
    child::succeed(&mut workspace.cargo(&["fetch", "--locked", "--quiet"]), stop).context("cannot fetch the crates")?;
    let mut command = Command::new(deny);
    command.args(["--offline", "--locked", "--all-features", "check", "--hide-inclusion-graph"]);
    child::succeed(command.args(["bans", "licenses", "sources"]).current_dir(&workspace.root), stop)
}
