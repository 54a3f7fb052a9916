//! The dependency policy: `deny.toml`, judged by cargo-deny, and how many crates the smallest product compiles.
//!
//! Why a tool and not ten lines over `cargo metadata`: licences are expressions, and cargo-deny reads them as such.
//! Cold it takes three and a half minutes to build on two cores, once; CI keeps `target/tools`.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use devservers::workspace::Workspace;
use devservers::{Stop, output, succeed};

use crate::cargo_tools::cargo_tool;
use crate::check::LAB;

/// Macros and build scripts count, tests do not: a product's builders wait for those.
const MOST_CRATES: usize = 200;

/// Bans, licences and sources. Advisories need a database from the network: `cargo deny check advisories` by hand.
pub fn check(workspace: &Workspace, stop: &Stop) -> Result<()> {
    let deny = cargo_tool("cargo-deny", "0.20.2", workspace, stop)?;
    // Offline, cargo wants every crate of the lock file at hand, those for other systems included.
    succeed(&mut workspace.cargo(&["fetch", "--locked", "--quiet"]), stop).context("cannot fetch the crates")?;
    // Their locks are their own.
    for manifest in ["fuzz/Cargo.toml", LAB.0] {
        let mut fetch = workspace.cargo(&["fetch", "--locked", "--quiet", "--manifest-path", manifest]);
        succeed(&mut fetch, stop)
            .with_context(|| format!("its lock does not follow; run `cargo fetch --manifest-path {manifest}`"))?;
    }
    let mut command = Command::new(deny);
    command.args(["--offline", "--locked", "--all-features", "check", "--hide-inclusion-graph"]);
    succeed(command.args(["bans", "licenses", "sources"]).current_dir(&workspace.root), stop)?;
    let mut tree = workspace.cargo(&["tree", "--locked", "--offline", "--prefix", "none", "--package", "todo"]);
    let tree = output(tree.args(["--edges", "normal,build", "--no-dedupe"]))?;
    let crates = tree.lines().filter(|line| !line.is_empty()).collect::<BTreeSet<_>>().len();
    ensure!(
        crates <= MOST_CRATES,
        "examples/todo compiles {crates} crates, and {MOST_CRATES} is the most: see what came with the change \
         (`cargo tree -p todo -e normal,build`), and switch its default features off or do without it"
    );
    Ok(())
}
