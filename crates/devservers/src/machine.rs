//! What stands beside every result: on what, from which source and by which command it was made.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process;
use crate::workspace::Workspace;

/// Cores, memory, kernel, commit, command and date.
pub fn facts(workspace: &Workspace) -> Result<Value> {
    let ask = |program: &str, args: &[&str]| {
        let text = process::output(Command::new(program).args(args).current_dir(&workspace.root))?;
        anyhow::Ok(text.trim().to_owned())
    };
    let memory_mib = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kib: u64 =
            text.lines().find(|line| line.starts_with("MemTotal"))?.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024)
    });
    let mut arguments = std::env::args();
    let program = arguments.next().map(PathBuf::from).and_then(|path| path.file_name().map(OsStr::to_owned));
    let program = format!("cargo {}", program.unwrap_or_default().to_string_lossy());
    let command: Vec<String> = std::iter::once(program).chain(arguments).collect();
    Ok(json!({
        "machine": {
            "cores": std::thread::available_parallelism().map(std::num::NonZero::get).ok(),
            "memory_mib": memory_mib,
            "kernel": ask("uname", &["-sr"])?,
            "architecture": ask("uname", &["-m"])?,
        },
        "git_commit": ask("git", &["-c", "safe.directory=*", "rev-parse", "HEAD"])?,
        "uncommitted_changes": !ask("git", &["-c", "safe.directory=*", "status", "--porcelain"])?.is_empty(),
        "command": command.join(" "),
        "finished_at": now()?,
    }))
}

/// The time, as results state it.
pub fn now() -> Result<String> {
    Ok(process::output(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))?.trim().to_owned())
}

/// How many processes wanted a core, on average over the last minute.
pub fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Writes a result, the facts added to it.
pub fn write_result(path: &Path, result: Value, workspace: &Workspace) -> Result<()> {
    write_result_of(path, result, facts(workspace)?)
}

/// Writes a result with facts from when its work began: in an hour of it, the sources may have moved on.
pub fn write_result_of(path: &Path, mut result: Value, facts: Value) -> Result<()> {
    if let (Value::Object(result), Value::Object(mut facts)) = (&mut result, facts) {
        result.append(&mut facts);
        result.insert("finished_at".to_owned(), now()?.into());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let text = serde_json::to_string_pretty(&result).context("cannot write a result as JSON")?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}
