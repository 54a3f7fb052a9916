//! `cargo xtask gen`: files derived from the code, written by asking the server's binary. A description kept by hand
//! would drift; these cannot, because `cargo xtask check` compares them.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use devservers::workspace::{SERVER, Workspace};
use devservers::{Stop, output, succeed};

use crate::check;
use crate::clients;

/// What the binary is asked, and where its answer is kept. The first is what the clients are made from.
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
    let derived = derive(workspace, stop)?;
    let stale = derived.iter().filter(|(file, text)| {
        let kept = fs::read(workspace.root.join(file));
        !kept.is_ok_and(|kept| kept == text.as_bytes())
    });
    let mut faults: Vec<_> = stale.map(|(file, _)| format!("{file} is not current: run `cargo xtask gen`")).collect();
    let left = left_over(&derived, workspace)?;
    faults.extend(left.iter().map(|file| format!("nothing makes {file} any more: run `cargo xtask gen`")));
    check::none_of(&faults)
}

/// Kept files in directories that hold nothing else than what is made, but were not made this time.
fn left_over(derived: &[(String, String)], workspace: &Workspace) -> Result<Vec<String>> {
    let is_made = |file: &String| derived.iter().any(|(made, _)| made == file);
    let is_inside = |file: &String| clients::DIRECTORIES.iter().any(|dir| Path::new(file).starts_with(dir));
    Ok(workspace.files()?.into_iter().filter(|file| is_inside(file) && !is_made(file)).collect())
}

fn write(workspace: &Workspace, stop: &Stop) -> Result<()> {
    let derived = derive(workspace, stop)?;
    for file in left_over(&derived, workspace)? {
        fs::remove_file(workspace.root.join(&file)).with_context(|| format!("cannot remove {file}"))?;
        println!("removed {file}");
    }
    for (file, text) in derived {
        let path = workspace.root.join(&file);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        if fs::read(&path).is_ok_and(|kept| kept == text.as_bytes()) {
            continue;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {file}");
    }
    Ok(())
}

fn derive(workspace: &Workspace, stop: &Stop) -> Result<Vec<(String, String)>> {
    if !workspace.has_server() {
        println!("nothing to derive: the workspace has no {} yet", SERVER.0);
        return Ok(Vec::new());
    }
    succeed(&mut workspace.cargo(&["build", "--quiet", "--locked", "--package", SERVER.0]), stop)?;
    let binary = workspace.target.join("debug").join(SERVER.1);
    let ask = |(words, file): &(&[&str], &'static str)| {
        // From an empty place: a settings file in the working directory must not colour the answer.
        let mut command = Command::new(&binary);
        let text = output(command.args(*words).current_dir(&workspace.target));
        anyhow::Ok(((*file).to_owned(), text.with_context(|| format!("cannot derive {file}"))?))
    };
    let mut files = FILES.iter().map(ask).collect::<Result<Vec<_>>>()?;
    let made = clients::derive(&files[0].1, workspace, stop)?;
    files.extend(made);
    Ok(files)
}
