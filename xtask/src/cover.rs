//! `cargo xtask cover`: which lines the tests run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use devservers::workspace::{Package, Workspace};
use devservers::{Stop, machine, succeed};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cargo_tools::cargo_tool;
use crate::servers::{Named, Servers};

/// Options of `cargo xtask cover`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    servers: Named,
    /// Fail below this percentage.
    #[arg(long, value_name = "PERCENT")]
    at_least: Option<f64>,
    /// Only these packages; the whole product when none is named.
    #[arg(short, long = "package", value_name = "NAME")]
    packages: Vec<String>,
}

#[derive(Deserialize)]
struct Report {
    files: Vec<Covered>,
}

#[derive(Deserialize)]
struct Covered {
    path: Vec<String>,
    covered: u64,
    coverable: u64,
}

/// Runs the tests instrumented, prints the figure, and keeps it when the whole product was measured.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    let tarpaulin = cargo_tool("cargo-tarpaulin", "0.37.5", workspace, stop)?;
    let servers = Servers::start(&args.servers, stop)?;

    let out = workspace.target.join("coverage");
    let mut command = Command::new(tarpaulin);
    command.args(["tarpaulin", "--engine", "llvm", "--locked", "--skip-clean", "--follow-exec", "--timeout", "900"]);
    // A build directory of its own: instrumented objects would turn out those of every other command.
    command.arg("--target-dir").arg(out.join("build")).args(["--out", "Json", "--output-dir"]).arg(&out);
    if args.packages.is_empty() {
        // The tools are not the product.
        command.args(["--workspace", "--exclude", "xtask"]);
    }
    for package in &args.packages {
        command.args(["--packages", package]);
    }
    succeed(servers.tell(command.current_dir(&workspace.root)), stop)?;

    let path = out.join("tarpaulin-report.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let report: Report = serde_json::from_str(&text).context("cannot read tarpaulin's report")?;
    let (result, percent) = sum(&report, workspace, |package| match args.packages.as_slice() {
        [] => is_product(package),
        chosen => chosen.contains(&package.name),
    });
    for (room, lines) in result["by_crate"].as_object().into_iter().flatten() {
        println!("{room:<24} {:>6.2} %", lines["percent"].as_f64().unwrap_or_default());
    }
    println!("line coverage: {percent:.2} %");
    if args.packages.is_empty() {
        machine::write_result(&workspace.root.join("docs/results/coverage.json"), result, workspace)?;
    }
    Ok(match args.at_least {
        Some(least) if percent < least => {
            println!("less than the {least} % asked for");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    })
}

/// The tools, the lab and the examples are not the product.
fn is_product(package: &Package) -> bool {
    package.dir == "server" || package.dir.starts_with("crates/") || package.dir.starts_with("domains/")
}

/// Totals by package and over all. The report also names files that were never built: only the wanted ones count.
fn sum(report: &Report, workspace: &Workspace, is_wanted: impl Fn(&Package) -> bool) -> (Value, f64) {
    let mut by_crate = BTreeMap::<&str, (u64, u64)>::new();
    let mut all = (0, 0);
    for file in &report.files {
        let path = file.path.join("/").replace("//", "/");
        let package = workspace.packages.iter().filter(|package| {
            let dir = workspace.root.join(&package.dir).join("src");
            is_wanted(package) && Path::new(&path).starts_with(dir)
        });
        for package in package {
            let lines = by_crate.entry(&package.name).or_default();
            *lines = (lines.0 + file.covered, lines.1 + file.coverable);
            all = (all.0 + file.covered, all.1 + file.coverable);
        }
    }
    let entry = |(covered, coverable): (u64, u64)| json!({ "covered": covered, "lines": coverable, "percent": percent(covered, coverable) });
    let by_crate: serde_json::Map<_, _> =
        by_crate.into_iter().map(|(name, lines)| (name.to_owned(), entry(lines))).collect();
    let percent = percent(all.0, all.1);
    (json!({ "covered": all.0, "lines": all.1, "percent": percent, "by_crate": by_crate }), percent)
}

/// To two places; nothing to cover is covered.
fn percent(covered: u64, coverable: u64) -> f64 {
    if coverable == 0 {
        return 100.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "lines of code are far fewer than 2^52")]
    let share = covered as f64 / coverable as f64;
    (share * 10_000.0).round() / 100.0
}
