//! What stands beside every result: on what, from which source, with which versions and by which command.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::lab::Lab;
use crate::process;

/// Everything one needs to judge or repeat a run.
pub fn facts(lab: &Lab, rounds: usize, seconds: u64) -> Result<Value> {
    let ask = |program: &str, args: &[&str]| {
        let said = process::output(Command::new(program).args(args).current_dir(&lab.root));
        said.ok().and_then(|text| Some(text.lines().next()?.trim().to_owned()))
    };
    let line_of = |file: &str, start: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(start))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let wrk = Command::new("wrk").arg("-v").output().ok().and_then(|out| {
        let text = String::from_utf8(out.stdout).ok()?;
        Some(text.lines().next()?.split('[').next()?.trim().to_owned())
    });
    let changes = ask("git", &["-c", "safe.directory=*", "status", "--porcelain", "--untracked-files=no"]);
    Ok(json!({
        "machine": {
            "cores": lab.cores,
            "cpu": line_of("/proc/cpuinfo", "model name"),
            "memory": line_of("/proc/meminfo", "MemTotal"),
            "kernel": ask("uname", &["-sr"]),
            "architecture": ask("uname", &["-m"]),
            "load_before": fs::read_to_string("/proc/loadavg").ok().map(|text| text.trim().to_owned()),
        },
        "versions": {
            "rustc": ask("rustc", &["--version"]),
            "wrk": wrk,
            "postgres": ask("psql", &["--version"]),
            "redis": ask("redis-server", &["--version"]),
            "node": ask("node", &["--version"]),
            "python": ask("python3", &["--version"]),
            "go": ask("go", &["version"]),
        },
        "git_commit": ask("git", &["-c", "safe.directory=*", "rev-parse", "HEAD"]),
        "uncommitted_changes": changes.is_some(),
        "command": std::iter::once("lab".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" "),
        "started_at": ask("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "rounds": rounds,
        "seconds": seconds,
    }))
}
