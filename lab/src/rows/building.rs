//! What a product's people wait for: the crates of the smallest one, its build from nothing, its build after an edit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::lab::Lab;
use crate::process;
use crate::results::{Row, Sample};
use crate::rows::Known;
use crate::stats::Wanted::AtMost;
use crate::target::Target;

const ID: &str = "building";
const TITLE: &str = "building the smallest product, `examples/todo`";
const PRODUCT: &str = "examples/todo";
const BUILD_WITHIN: Duration = Duration::from_secs(3600);

/// This row.
pub const KNOWN: Known = Known { id: ID, title: TITLE, scenarios: &[], wants: &[], steps, run };

fn steps(_: &BTreeMap<String, Target>, rounds: usize) -> usize {
    2 + rounds
}

fn run(bench: &Bench<'_>) -> Result<Row> {
    let how = "debug build of a copy of what is committed, all cores, no network; the edit is a line more at the end of a file of handlers";
    let mut row = Row::new(ID, TITLE, how);
    ensure!(bench.lab.root.join(PRODUCT).is_dir(), "there is no {PRODUCT}");
    let copy = committed(bench.lab)?;

    bench.progress.step(&format!("{ID} · counting crates"));
    let package = package(&copy)?;
    let crates = crates(&copy, &package)?;
    row.measured(&package).samples.push(Sample::from([("crates".to_owned(), crates as f64)]));

    bench.progress.step(&format!("{ID} · from nothing"));
    let build_dir = bench.lab.build_dir.join("building");
    if build_dir.exists() {
        fs::remove_dir_all(&build_dir).with_context(|| format!("cannot clear {}", build_dir.display()))?;
    }
    let build = |lab: &Lab| {
        let start = Instant::now();
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--locked", "--offline", "--quiet", "-p", &package, "--target-dir"]).arg(&build_dir);
        process::succeed_within(cargo.current_dir(&copy).stdout(Stdio::null()), &lab.stop, BUILD_WITHIN)?;
        anyhow::Ok(start.elapsed().as_secs_f64())
    };
    row.measured(&package).samples.push(Sample::from([("from_nothing_s".to_owned(), build(bench.lab)?)]));

    let handlers = handlers(&copy.join(PRODUCT))?;
    let source = fs::read_to_string(&handlers).with_context(|| format!("cannot read {}", handlers.display()))?;
    for round in 1..=bench.rounds {
        bench.progress.step(&format!("{ID} · after an edit · round {round}"));
        let edited = format!("{source}\n#[used]\nstatic EDITED: usize = {round};\n");
        fs::write(&handlers, edited).with_context(|| format!("cannot edit {}", handlers.display()))?;
        row.measured(&package).samples.push(Sample::from([("after_an_edit_s".to_owned(), build(bench.lab)?)]));
    }
    for (measure, what, unit, goal) in [
        ("crates", "crates, its own included", "", Some((AtMost, 200.0))),
        ("after_an_edit_s", "rebuild after editing a handler", "s", Some((AtMost, 5.0))),
        ("from_nothing_s", "build from nothing", "s", None),
    ] {
        row.figures.extend(row.median(&package, measure, what, unit).map(|figure| figure.goal(goal)));
    }
    Ok(row)
}

/// What is committed, in a folder of its own: an edit there is nobody's.
fn committed(lab: &Lab) -> Result<PathBuf> {
    let folder = lab.folder("committed")?;
    let archive = lab.scratch.join("committed.tar");
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*", "archive", "--format=tar", "HEAD", "-o"]).arg(&archive);
    process::output(git.current_dir(&lab.root))?;
    process::output(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&folder))?;
    Ok(folder)
}

fn package(copy: &Path) -> Result<String> {
    let file = copy.join(PRODUCT).join("Cargo.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: toml::Table = toml::from_str(&text).with_context(|| format!("cannot read {}", file.display()))?;
    let name = manifest.get("package").and_then(|package| package.get("name")?.as_str());
    Ok(name.context("the product has no name")?.to_owned())
}

/// Those that are compiled for it, build scripts' and macros' included, tests' not.
fn crates(copy: &Path, package: &str) -> Result<usize> {
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "--locked", "--offline", "--prefix", "none", "--edges", "normal,build", "-p", package]);
    Ok(distinct(&process::output(cargo.current_dir(copy))?))
}

/// Distinct lines but for marks of repetition.
fn distinct(tree: &str) -> usize {
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)").trim());
    lines.filter(|line| !line.is_empty()).collect::<std::collections::BTreeSet<_>>().len()
}

/// The file where its endpoints are written: the first with a `#[post` or `#[get`.
fn handlers(product: &Path) -> Result<PathBuf> {
    let folder = product.join("src");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let has_handlers = |file: &PathBuf| {
        fs::read_to_string(file).is_ok_and(|text| ["#[post(", "#[get(", "#[delete("].iter().any(|m| text.contains(m)))
    };
    files.into_iter().find(has_handlers).context("the product has no handler")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_crate_once() {
        let tree = "todo v0.1.0 (/x)\nserde v1.0.1\ntokio v1.2.3\nserde v1.0.1 (*)\n\nserde v2.0.0\n";
        assert_eq!(distinct(tree), 4);
    }
}
