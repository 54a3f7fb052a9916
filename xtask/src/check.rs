//! `cargo xtask check`: one command for engineers, the same one in CI. Every step runs even after one failed, so that a
//! single run shows all there is to fix.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};
use devservers::workspace::Workspace;
use devservers::{Stop, succeed};

use crate::{deny, dependency_rules, generated, links, module_rules, retired_words, translations, vendor};

/// Options of `cargo xtask check`.
#[derive(clap::Args)]
pub struct Args {
    /// Only these steps (see the list in the output); all when none is named.
    steps: Vec<String>,
}

struct Step {
    name: &'static str,
    fix: &'static str,
    run: fn(&Workspace, &Stop) -> Result<()>,
}

/// The cheap ones first.
const STEPS: &[Step] = &[
    Step { name: "format", fix: "cargo fmt", run: format },
    Step {
        name: "dependencies",
        fix: "move the dependency, or add a row with its reason to xtask/src/dependency_rules.rs",
        run: |workspace, _| dependency_rules::check(workspace),
    },
    Step {
        name: "modules",
        fix: "move the code to the file it belongs in, or add an exception with its reason to xtask/src/module_rules.rs",
        run: |workspace, _| module_rules::check(workspace),
    },
    Step {
        name: "words",
        fix: "use the standard word that is named; the table is xtask/retired_words.toml",
        run: |workspace, _| retired_words::check(workspace),
    },
    Step {
        name: "links",
        fix: "correct the path or command in the document",
        run: |workspace, _| links::check(workspace),
    },
    Step {
        name: "translations",
        fix: "correct the texts/ko.toml that is named: each English text with its translation",
        run: |workspace, _| translations::check(workspace),
    },
    Step { name: "vendored", fix: "cargo xtask vendor-docs", run: |workspace, _| vendor::check(workspace) },
    Step { name: "policy", fix: "choose another dependency, or widen deny.toml with a reason", run: deny::check },
    Step { name: "clippy", fix: "cargo clippy --workspace --all-targets", run: clippy },
    Step { name: "docs", fix: "cargo doc --workspace --no-deps", run: docs },
    Step { name: "generated", fix: "cargo xtask gen", run: generated::check },
];

/// Runs the steps and sums up; the exit code says whether all passed.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    if let Some(unknown) = args.steps.iter().find(|name| !STEPS.iter().any(|step| step.name == *name)) {
        let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step is called {unknown}; there are {}", known.join(", "));
    }
    let wanted = |step: &&Step| args.steps.is_empty() || args.steps.iter().any(|name| name == step.name);
    let mut summary = Vec::new();
    let mut failed = false;
    for step in STEPS.iter().filter(wanted) {
        println!("== {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(workspace, stop);
        stop.check()?;
        let seconds = start.elapsed().as_secs_f32();
        summary.push(match outcome {
            Ok(()) => format!("ok     {:<12} {seconds:6.1} s", step.name),
            Err(error) => {
                failed = true;
                println!("{error:#}");
                format!("FAILED {:<12} {seconds:6.1} s   fix: {}", step.name, step.fix)
            }
        });
    }
    println!("\n{}", summary.join("\n"));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The laboratory's manifest, which is no member of the workspace, and where it is built.
pub const LAB: (&str, &str) = ("lab/Cargo.toml", "target/lab-build");

/// An error that lists the rule violations, or none.
pub fn none_of(faults: &[String]) -> Result<()> {
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

fn format(workspace: &Workspace, stop: &Stop) -> Result<()> {
    succeed(&mut workspace.cargo(&["fmt", "--all", "--", "--check"]), stop)?;
    succeed(&mut workspace.cargo(&["fmt", "--manifest-path", LAB.0, "--", "--check"]), stop)
}

fn clippy(workspace: &Workspace, stop: &Stop) -> Result<()> {
    let words = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    succeed(&mut workspace.cargo(&words), stop)?;
    let words = [
        "clippy",
        "--manifest-path",
        LAB.0,
        "--target-dir",
        LAB.1,
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    succeed(&mut workspace.cargo(&words), stop)
}

/// Binaries and libraries apart, because the binary and the façade are both called `mainstay`; libraries last, so
/// that the façade's pages are the ones left to read.
fn docs(workspace: &Workspace, stop: &Stop) -> Result<()> {
    for kind in ["--bins", "--lib"] {
        let mut doc: Command = workspace.cargo(&["doc", "--workspace", "--no-deps", "--locked", kind]);
        succeed(doc.env("RUSTDOCFLAGS", "-D warnings"), stop)?;
    }
    Ok(())
}
