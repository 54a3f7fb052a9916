//! `cargo xtask test`: every test of the workspace, with the servers they talk to beside them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use devservers::workspace::Workspace;
use devservers::{Process, Stop};

use crate::check::LAB;
use crate::servers::{Named, Servers};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    servers: Named,
    /// Give up after this many minutes, building included.
    #[arg(long, default_value_t = 25)]
    limit_minutes: u64,
    /// Handed to `cargo test`, such as `-- -p mainstay-store -- --nocapture`.
    #[arg(last = true)]
    cargo_args: Vec<String>,
}

/// Builds, starts PostgreSQL, runs the tests; the exit code is theirs.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    let start = Instant::now();
    let limit = Duration::from_secs(60 * args.limit_minutes);
    let mut words = vec!["test", "--locked"];
    if !names_packages(&args.cargo_args) {
        words.push("--workspace");
    }

    // First, because most failures are found here and need no database.
    println!("[1/3] build");
    let mut build = workspace.cargo(&words);
    let built = Process::start(build.arg("--no-run").args(&args.cargo_args))?.wait(stop, limit)?;
    if !built.success() {
        return Ok(exit_code(built.code()));
    }

    println!("[2/3] PostgreSQL, PgBouncer, and the programs of Redis");
    let servers = Servers::start(&args.servers, stop)?;
    println!("      {}", servers.shown());

    println!("[3/3] tests");
    let mut tests = workspace.cargo(&words);
    servers.tell(tests.args(&args.cargo_args));
    let left = limit.saturating_sub(start.elapsed());
    let mut status = Process::start(&mut tests)?.wait(stop, left)?;
    if status.success() && !names_packages(&args.cargo_args) {
        let words = ["test", "--locked", "--manifest-path", LAB.0, "--target-dir", LAB.1];
        let left = limit.saturating_sub(start.elapsed());
        status = Process::start(workspace.cargo(&words).args(&args.cargo_args))?.wait(stop, left)?;
    }
    drop(servers);
    println!("tests {} after {} s", if status.success() { "passed" } else { "FAILED" }, start.elapsed().as_secs());
    Ok(exit_code(status.code()))
}

/// Whether the arguments before a second `--` choose packages, which `--workspace` would overrule.
fn names_packages(args: &[String]) -> bool {
    let own = args.iter().take_while(|arg| *arg != "--");
    own.into_iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package") || arg == "--workspace")
}

fn exit_code(code: Option<i32>) -> ExitCode {
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cargos_own_arguments_choose_packages() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(names_packages(&words("-p mainstay-store")));
        assert!(names_packages(&words("--package=mainstay-store --lib")));
        assert!(!names_packages(&words("tx -- -p")));
    }
}
