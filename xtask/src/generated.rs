//! `cargo xtask gen`: files derived from the code, written by asking the server's binary. A description kept by hand
//! would drift; these cannot, because `cargo xtask check` compares them.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::check;
use crate::child::{self, Stop};
use crate::workspace::{SERVER, Workspace};

/// What the binary is asked, and where its answer is kept.
const FILES: &[(&[&str], &str)] = &[
    (&["openapi"], "docs/openapi.json"),
    (&["config", "reference"], "docs/settings.md"),
    (&["config", "default"], "config/default.toml"),
    (&["errors"], "docs/errors.md"),
];

/// Options of `cargo xtask gen`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail if a file is not what would be written.
    #[arg(long)]
    check: bool,
}

/// Writes the files, or compares them.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    if args.check {
        check(workspace, stop)?;
    } else {
        write(workspace, stop)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An error that names the stale files and the command that renews them.
pub fn check(workspace: &Workspace, stop: &Stop) -> Result<()> {
    let stale = derive(workspace, stop)?.into_iter().filter(|(file, text)| {
        let kept = fs::read(workspace.root.join(file));
        !kept.is_ok_and(|kept| kept == text.as_bytes())
    });
    let faults: Vec<_> = stale.map(|(file, _)| format!("{file} is not current: run `cargo xtask gen`")).collect();
    check::none_of(&faults)
}

fn write(workspace: &Workspace, stop: &Stop) -> Result<()> {
    for (file, text) in derive(workspace, stop)? {
        let path = workspace.root.join(file);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {file}");
    }
    Ok(())
}

fn derive(workspace: &Workspace, stop: &Stop) -> Result<Vec<(&'static str, String)>> {
    if !workspace.has_server() {
        println!("nothing to derive: the workspace has no {} yet", SERVER.0);
        return Ok(Vec::new());
    }
    child::succeed(&mut workspace.cargo(&["build", "--quiet", "--locked", "--package", SERVER.0]), stop)?;
    let binary = workspace.target.join("debug").join(SERVER.1);
    let ask = |(words, file): &(&[&str], &'static str)| {
        // From an empty place: a settings file in the working directory must not colour the answer.
        let mut command = Command::new(&binary);
        let text = child::output(command.args(*words).current_dir(&workspace.target));
        Ok((*file, text.with_context(|| format!("cannot derive {file}"))?))
    };
    FILES.iter().map(ask).collect()
}
