//! `cargo xtask mutants`: whether the tests notice when the code that tells callers apart is changed.
//!
//! cargo-mutants changes one thing at a time, and runs the tests: a change that none of them notices has survived.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::child::{Running, Stop, shown};
use crate::machine;
use crate::test::POSTGRES_VARIABLE;
use crate::tools;
use crate::workspace::Workspace;

/// Options of `cargo xtask mutants`.
#[derive(clap::Args)]
pub struct Args {
    /// Only files whose path contains one of these words; all of them when none is said.
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// Try only what survived the last time, after tests were added; the rest counts as it did then. A file that was
    /// never tried is tried whole.
    #[arg(long)]
    survivors: bool,
    /// Try nothing: say what is known, for instance after a run that was interrupted.
    #[arg(long, conflicts_with = "survivors")]
    report: bool,
    /// Fail below so many percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 90.0)]
    at_least: f64,
    /// How much it gives way to other work, 0–19.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=19))]
    nice: u8,
    /// The result, as JSON [default: docs/results/mutants.json, when no word is said]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The code that makes tokens, believes them, and says who may do what; and the packages whose tests must notice.
const TABLE: [(&str, &[&str]); 14] = [
    ("crates/kernel/src/identity.rs", &["mainstay-kernel"]),
    ("crates/http/src/caller.rs", &["mainstay-auth", "mainstay-resource"]),
    ("crates/resource/src/operations.rs", RESOURCE),
    ("crates/resource/src/spec.rs", RESOURCE),
    ("crates/resource/src/sql.rs", RESOURCE),
    ("domains/auth/src/ended.rs", AUTH),
    ("domains/auth/src/keyring.rs", AUTH),
    ("domains/auth/src/keys.rs", AUTH),
    ("domains/auth/src/model.rs", AUTH),
    ("domains/auth/src/passwords.rs", AUTH),
    ("domains/auth/src/service.rs", AUTH),
    ("domains/auth/src/store.rs", AUTH),
    ("domains/auth/src/tokens.rs", AUTH),
    ("domains/auth/src/verifier.rs", AUTH),
];
const AUTH: &[&str] = &["mainstay-auth"];
const RESOURCE: &[&str] = &["mainstay-resource"];

/// What is not changed, as cargo-mutants names it, and why.
const EXCLUDED: [(&str, &str); 3] = [
    (r"<impl (std::)?(fmt::)?Debug for ", "what it would say instead is less, and nobody decides by it"),
    (
        r"crates/resource/src/operations\.rs:.* (in|replace) (describe|endpoint|etag_header|item_schema|who_reads)\b",
        "what the document says decides nothing; `cargo xtask check generated` compares it",
    ),
    (
        r"domains/auth/src/store\.rs:.* (in|replace) (has_admin|newest_key_at)\b",
        "only the doctor asks, and tells a person; nobody is let in by it",
    ),
];

/// One file may take so long.
const LIMIT: Duration = Duration::from_secs(8 * 3600);

/// What is kept of a file, beside what cargo-mutants writes.
const VERDICTS: &str = "verdicts.json";

/// How one change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// A test failed.
    Caught,
    /// The tests did not end in time, which is noticed too.
    Timeout,
    /// No test failed.
    Missed,
    /// It does not compile, and says nothing of the tests.
    Unviable,
}

/// What became of each change of one file, by what cargo-mutants calls it.
type Verdicts = BTreeMap<String, Verdict>;

/// Changes the code, file by file, and writes down what survived.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    let is_wanted = |file: &str| args.words.is_empty() || args.words.iter().any(|word| file.contains(word));
    let wanted: Vec<_> = TABLE.into_iter().filter(|(file, _)| is_wanted(file)).collect();
    if wanted.is_empty() {
        bail!("no file has this in its path; they are: {}", TABLE.map(|(file, _)| file).join(", "));
    }
    let root = workspace.target.join("mutants");
    let mut by_file = BTreeMap::new();
    if args.report {
        for (file, _) in &wanted {
            let kept = folder(&root, file).join(VERDICTS);
            if kept.exists() {
                by_file.insert(*file, read(&kept)?);
            }
        }
    } else {
        let tool = tools::cargo_tool("cargo-mutants", "27.1.0", workspace, stop)?;
        copy_to(&root.join("tree"), workspace)?;
        for (file, packages) in &wanted {
            let verdicts = try_file(args, &tool, &root, file, packages, workspace, stop)?;
            println!("{file}: {:.2} % killed", Sum::of(&verdicts).percent());
            by_file.insert(*file, verdicts);
        }
    }
    let not_tried: Vec<&str> =
        wanted.iter().map(|(file, _)| *file).filter(|file| !by_file.contains_key(file)).collect();

    let sum = by_file.values().map(Sum::of).fold(Sum::default(), Sum::plus);
    let survivors: Vec<&String> =
        by_file.values().flatten().filter(|(_, verdict)| **verdict == Verdict::Missed).map(|(name, _)| name).collect();
    survivors.iter().for_each(|name| println!("  survived: {name}"));
    not_tried.iter().for_each(|file| println!("  not tried: {file}"));
    println!("{:.2} % of {} killed", sum.percent(), sum.killed() + sum.missed);
    let default = args.words.is_empty().then(|| workspace.root.join("docs/results/mutants.json"));
    if let Some(out) = args.out.clone().or(default) {
        let files: serde_json::Map<_, _> =
            by_file.iter().map(|(file, verdicts)| ((*file).to_owned(), Sum::of(verdicts).report())).collect();
        let mut result = sum.report();
        result["survivors"] = json!(survivors);
        result["not_tried"] = json!(not_tried);
        result["by_file"] = Value::Object(files);
        result["excluded"] = EXCLUDED.iter().map(|(what, why)| json!({ "pattern": what, "because": why })).collect();
        machine::write_result(&out, result, workspace)?;
    }
    if sum.percent() < args.at_least {
        println!("less than the {} % asked for", args.at_least);
        return Ok(ExitCode::FAILURE);
    }
    Ok(if not_tried.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the results of one file are.
fn folder(root: &Path, file: &str) -> PathBuf {
    root.join(file.replace('/', "_"))
}

/// Changes one file in every way, and keeps what became of each.
fn try_file(
    args: &Args,
    tool: &Path,
    root: &Path,
    file: &str,
    packages: &[&str],
    workspace: &Workspace,
    stop: &Stop,
) -> Result<Verdicts> {
    let folder = folder(root, file);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let kept = folder.join(VERDICTS);
    let is_known = args.survivors && kept.exists();
    let mut verdicts: Verdicts = if is_known { read(&kept)? } else { Verdicts::new() };
    // Its own unit tests are built and run in a fraction of the time: the others see only what these let live.
    let has_unit_tests = workspace.read(file)?.contains("#[cfg(test)]");
    for is_unit in [true, false] {
        let again: Vec<&String> =
            verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Missed).map(|(name, _)| name).collect();
        let is_done = again.is_empty() && !verdicts.is_empty();
        if is_done || is_unit && (is_known || !has_unit_tests) {
            continue;
        }
        let mut command = mutate(tool, args.nice, root, &folder, file, if is_unit { &packages[..1] } else { packages });
        for name in again {
            command.args(["--re", &format!("^{}$", regex::escape(name))]);
        }
        // After `--` what goes to `cargo test`, then what goes to the tests.
        if is_unit {
            let module = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
            command.args(["--", "--lib", "--", &format!("{module}::")]);
        } else {
            // Those on PostgreSQL take the same way through this code; one compares it with SQLite.
            command.args(["--", "--tests", "--", "--skip", "postgres", "--skip", "both_databases"]);
        }
        let status = Running::start(&mut command)?.wait(stop, LIMIT)?;
        // 2: some survived; 3: some took too long.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            bail!("{} ended with {status}", shown(&command));
        }
        verdicts.extend(outcomes(&read(&folder.join("mutants.out/outcomes.json"))?));
        let text = serde_json::to_string_pretty(&verdicts).context("cannot write verdicts as JSON")?;
        fs::write(&kept, text).with_context(|| format!("cannot write {}", kept.display()))?;
    }
    Ok(verdicts)
}

/// Brings a copy of the sources up to date. It is always at one place, so that little is built anew for each file; and
/// what is interrupted leaves nothing changed where people work.
fn copy_to(tree: &Path, workspace: &Workspace) -> Result<()> {
    for file in workspace.files()? {
        let (from, to) = (workspace.root.join(&file), tree.join(&file));
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        // Written only if it is different: cargo goes by the time of the last change.
        if fs::read(&to).is_ok_and(|present| present == bytes) {
            continue;
        }
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// The command for one file.
fn mutate(tool: &Path, nice: u8, root: &Path, folder: &Path, file: &str, packages: &[&str]) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", &nice.to_string()]).arg(tool).args([
        "mutants",
        "--workspace",
        "--in-place",
        "--no-shuffle",
        "--colors",
        "never",
    ]);
    command.args(["--file", file, "--test-package", &packages.join(",")]).arg("--output").arg(folder);
    // Tests that wait for a busy machine must not pass for tests that hang.
    command.args(["--minimum-test-timeout", "300"]);
    for (pattern, _) in EXCLUDED {
        command.args(["--exclude-re", pattern]);
    }
    command.current_dir(root.join("tree")).env("CARGO_TARGET_DIR", root.join("build"));
    // Nobody reads a backtrace of these, and without the lines each is built sooner.
    command.env("CARGO_PROFILE_DEV_DEBUG", "false").env_remove(POSTGRES_VARIABLE);
    // What is found in hundreds of random cases alone is not held by a test.
    command.env("PROPTEST_CASES", "8");
    command
}

fn read<T: serde::de::DeserializeOwned>(path: &PathBuf) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
}

/// What cargo-mutants says of each change; the run without one is not counted.
fn outcomes(report: &Value) -> Verdicts {
    let all = report["outcomes"].as_array().into_iter().flatten();
    all.filter_map(|outcome| {
        let name = outcome["scenario"]["Mutant"]["name"].as_str()?;
        let verdict = match outcome["summary"].as_str()? {
            "CaughtMutant" => Verdict::Caught,
            "Timeout" => Verdict::Timeout,
            "Unviable" => Verdict::Unviable,
            // Anything else that it could come to say is better looked at than counted as killed.
            _ => Verdict::Missed,
        };
        Some((name.to_owned(), verdict))
    })
    .collect()
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    caught: usize,
    timeout: usize,
    missed: usize,
    unviable: usize,
}

impl Sum {
    fn of(verdicts: &Verdicts) -> Self {
        let count = |wanted| verdicts.values().filter(|verdict| **verdict == wanted).count();
        Self {
            caught: count(Verdict::Caught),
            timeout: count(Verdict::Timeout),
            missed: count(Verdict::Missed),
            unviable: count(Verdict::Unviable),
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            caught: self.caught + other.caught,
            timeout: self.timeout + other.timeout,
            missed: self.missed + other.missed,
            unviable: self.unviable + other.unviable,
        }
    }

    const fn killed(self) -> usize {
        self.caught + self.timeout
    }

    /// To two places, of those that compile; where there is nothing to kill, all is killed.
    fn percent(self) -> f64 {
        let viable = self.killed() + self.missed;
        if viable == 0 {
            return 100.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "changes are far fewer than 2^52")]
        let share = self.killed() as f64 / viable as f64;
        (share * 10_000.0).round() / 100.0
    }

    fn report(self) -> Value {
        json!({
            "percent_killed": self.percent(),
            "caught": self.caught,
            "timeout": self.timeout,
            "missed": self.missed,
            "unviable": self.unviable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_compile_does_not_count_and_what_never_ends_is_killed() {
        let outcome =
            |name: &str, summary: &str| json!({ "scenario": { "Mutant": { "name": name } }, "summary": summary });
        let report = json!({ "outcomes": [
            { "scenario": "Baseline", "summary": "Success" },
            outcome("a", "CaughtMutant"),
            outcome("b", "MissedMutant"),
            outcome("c", "Timeout"),
            outcome("d", "Unviable"),
        ] });
        let sum = Sum::of(&outcomes(&report));
        assert_eq!(sum, Sum { caught: 1, timeout: 1, missed: 1, unviable: 1 });
        assert!((sum.percent() - 66.67).abs() < 0.001);
        assert!((Sum::default().percent() - 100.0).abs() < 0.001);
    }

    #[test]
    fn every_file_of_the_table_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (file, _) in TABLE {
            assert!(root.join(file).is_file(), "{file}");
        }
    }
}
