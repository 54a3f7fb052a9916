//! `clients`: the typed clients compile strictly, and a round trip with each of them does what it says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Room, Served, judge};

const LIMIT: Duration = Duration::from_secs(300);

pub fn run(room: &Room<'_>, served: &Served) -> Result<()> {
    let typescript = typescript(room, served);
    let python = python(room, served);
    typescript.and(python)
}

/// The package is built in a copy among the npm packages, where the round trip finds it by its name, as a user would.
fn typescript(room: &Room<'_>, served: &Served) -> Result<()> {
    let source = room.workspace.root.join("clients/typescript");
    let package = room.installed.modules().join("mainstay-client");
    let trip = room.installed.modules().with_file_name("clients");
    for dir in [&package, &trip] {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("cannot clear {}", dir.display()))?;
        }
    }
    copy(&source, &package, &["package.json", "tsconfig.json"])?;
    copy(&source.join("src"), &package.join("src"), &["index.ts", "schema.ts"])?;
    copy(&room.workspace.root.join("conformance/clients"), &trip, &["tsconfig.json", "round_trip.ts"])?;
    for project in [&package, &trip] {
        judge(room.installed.npm("tsc").arg("--project").arg(project), room.stop, LIMIT)?;
    }
    let mut node = room.installed.node();
    served.introduce(&mut node);
    judge(node.arg(trip.join("made/round_trip.js")).current_dir(&trip), room.stop, LIMIT)
}

fn python(room: &Room<'_>, served: &Served) -> Result<()> {
    let package = room.workspace.root.join("clients/python");
    let trip = room.workspace.root.join("conformance/clients/round_trip.py");
    let cache = room.workspace.target.join("conformance/mypy");
    let mut mypy = room.installed.python("mypy");
    mypy.arg("--strict").arg("--cache-dir").arg(cache).arg("mainstay_client").arg(&trip);
    judge(mypy.current_dir(&package), room.stop, LIMIT)?;
    let mut python = room.installed.python("python");
    served.introduce(&mut python);
    judge(python.arg(&trip).env("PYTHONPATH", &package), room.stop, LIMIT)
}

fn copy(from: &Path, to: &Path, files: &[&str]) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for file in files {
        fs::copy(from.join(file), to.join(file)).with_context(|| format!("cannot copy {file} to {}", to.display()))?;
    }
    Ok(())
}
