//! `cargo xtask mutants`: whether the tests notice when the code that tells callers apart is changed.
//!
//! cargo-mutants changes one thing at a time, and runs the tests: a change that none of them notices has survived.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use devservers::workspace::Workspace;
use devservers::{Process, Stop, machine, output, shown};
use regex::RegexSet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cargo_tools::cargo_tool;
use crate::servers::{POOLER_VARIABLE, POSTGRES_VARIABLE};

/// Options of `cargo xtask mutants`.
#[derive(clap::Args)]
pub struct Args {
    /// Only files whose path contains one of these words; all of them when none is said. What is known of the others
    /// stays as it is.
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// Try only what survived the last time, after tests were added; the rest counts as it did then. A file that was
    /// never tried, or has changed since, is tried whole: so this also goes on with a run that was interrupted.
    #[arg(long)]
    survivors: bool,
    /// Fail below this percentage.
    #[arg(long, value_name = "PERCENT", default_value_t = 90.0)]
    at_least: f64,
    /// How much it gives way to other work, 0–19.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=19))]
    nice: u8,
}

/// Where what is known is kept. Every file is written as soon as it has been tried.
const RESULT: &str = "docs/results/mutants.json";

/// The code that makes tokens, believes them, and says who may do what; and the packages whose tests must notice.
const TABLE: [(&str, &[&str]); 18] = [
    ("crates/kernel/src/identity.rs", &["mainstay-kernel"]),
    ("crates/web/src/auth.rs", &["mainstay-auth", "mainstay-resource"]),
    ("crates/resource/src/operations.rs", RESOURCE),
    ("crates/resource/src/spec.rs", RESOURCE),
    ("crates/resource/src/sql.rs", RESOURCE),
    ("domains/auth/src/revocation.rs", AUTH),
    ("domains/auth/src/keyring.rs", AUTH),
    ("domains/auth/src/keys.rs", AUTH),
    ("domains/auth/src/model.rs", AUTH),
    ("domains/auth/src/passwords.rs", AUTH),
    ("domains/auth/src/service.rs", AUTH),
    ("domains/auth/src/service/directory.rs", AUTH),
    ("domains/auth/src/service/registration.rs", AUTH),
    ("domains/auth/src/service/sessions.rs", AUTH),
    ("domains/auth/src/service/signing_keys.rs", AUTH),
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
        r"crates/resource/src/operations\.rs:.* (in|replace) (describe|endpoint|etag_header|item_schema|who_(changes|creates|reads))\b",
        "what the document says decides nothing; `cargo xtask check generated` compares it",
    ),
    (
        r"domains/auth/src/store\.rs:.* (in|replace) (has_admin|newest_key_at)\b",
        "only the doctor asks, and tells a person; nobody is let in by it",
    ),
];

/// One file may take so long.
const LIMIT: Duration = Duration::from_secs(8 * 3600);

/// How one change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What is known of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    /// Which text was tried, as git names it.
    blob: String,
    caught: usize,
    timeout: usize,
    unviable: usize,
    /// What no test noticed, as cargo-mutants calls it.
    survivors: Vec<String>,
}

/// What is known of each file.
type ByFile = BTreeMap<String, Known>;

/// Changes the code, file by file, and writes down what survived.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    let is_wanted = |file: &str| args.words.is_empty() || args.words.iter().any(|word| file.contains(word));
    let wanted: Vec<_> = TABLE.into_iter().filter(|(file, _)| is_wanted(file)).collect();
    if wanted.is_empty() {
        bail!("no file has this in its path; they are: {}", TABLE.map(|(file, _)| file).join(", "));
    }
    let root = workspace.target.join("mutants");
    let out = workspace.root.join(RESULT);
    let mut by_file = kept(&out)?;
    by_file.retain(|kept, _| TABLE.iter().any(|(file, _)| file == kept));
    let excluded =
        RegexSet::new(EXCLUDED.map(|(pattern, _)| pattern)).context("a pattern of EXCLUDED cannot be read")?;
    by_file.values_mut().for_each(|known| known.survivors.retain(|name| !excluded.is_match(name)));
    let tool = cargo_tool("cargo-mutants", "27.1.0", workspace, stop)?;
    copy_to(&root.join("tree"), workspace)?;
    let mutation = Mutation { nice: args.nice, tool: &tool, root: &root, stop };
    for (file, packages) in wanted {
        let blob = blob(&root.join("tree").join(file))?;
        let again = by_file.get(file).filter(|known| args.survivors && known.blob == blob).cloned();
        let known = Known { blob, ..mutation.try_file(file, packages, again)? };
        println!("{file}: {:.2} % killed", known.percent());
        by_file.insert(file.to_owned(), known);
        machine::write_result(&out, report(&by_file), workspace)?;
    }

    let all = sum(&by_file);
    all.survivors.iter().for_each(|name| println!("  survived: {name}"));
    let not_tried = not_tried(&by_file);
    not_tried.iter().for_each(|file| println!("  not tried: {file}"));
    println!("{:.2} % of {} killed", all.percent(), all.viable());
    if all.percent() < args.at_least {
        println!("less than the {} % asked for", args.at_least);
        return Ok(ExitCode::FAILURE);
    }
    Ok(if not_tried.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What earlier runs wrote down.
fn kept(path: &Path) -> Result<ByFile> {
    if !path.exists() {
        return Ok(ByFile::new());
    }
    let mut result: Value = read(path)?;
    serde_json::from_value(result["by_file"].take()).with_context(|| format!("cannot understand {}", path.display()))
}

fn not_tried(by_file: &ByFile) -> Vec<&'static str> {
    TABLE.iter().map(|(file, _)| *file).filter(|file| !by_file.contains_key(*file)).collect()
}

fn report(by_file: &ByFile) -> Value {
    let all = sum(by_file);
    json!({
        "percent_killed": all.percent(),
        "caught": all.caught,
        "timeout": all.timeout,
        "missed": all.survivors.len(),
        "unviable": all.unviable,
        "not_tried": not_tried(by_file),
        "by_file": by_file,
        "excluded": EXCLUDED.map(|(what, why)| json!({ "pattern": what, "because": why })),
    })
}

fn sum(by_file: &ByFile) -> Known {
    by_file.values().cloned().fold(Known::default(), |mut all, known| {
        all.caught += known.caught;
        all.timeout += known.timeout;
        all.unviable += known.unviable;
        all.survivors.extend(known.survivors);
        all
    })
}

/// What is the same for every file of one run.
struct Mutation<'a> {
    nice: u8,
    tool: &'a Path,
    root: &'a Path,
    stop: &'a Stop,
}

impl Mutation<'_> {
    /// Changes one file in every way, or in the ways that its tests did not notice the last time.
    fn try_file(&self, file: &str, packages: &[&str], again: Option<Known>) -> Result<Known> {
        let folder = self.root.join(file.replace('/', "_"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let copy = self.root.join("tree").join(file);
        let text = fs::read_to_string(&copy).with_context(|| format!("cannot read {}", copy.display()))?;
        // Its own unit tests are built and run in a fraction of the time: the others see only what these let live.
        let has_unit_tests = again.is_none() && text.contains("#[cfg(test)]");
        let mut known = again;
        for is_unit in [true, false] {
            if is_unit && !has_unit_tests || known.as_ref().is_some_and(|known| known.survivors.is_empty()) {
                continue;
            }
            let mut command = self.command(&folder, file, if is_unit { &packages[..1] } else { packages });
            for name in known.iter().flat_map(|known| &known.survivors) {
                command.args(["--re", &format!("^{}$", regex::escape(name))]);
            }
            // After `--` what goes to `cargo test`, then what goes to the tests.
            if is_unit {
                let module = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
                command.args(["--", "--lib", "--", &format!("{module}::")]);
            } else {
                // Those on PostgreSQL take the same way through this code; one compares it with SQLite.
                command.args([
                    "--",
                    "--tests",
                    "--",
                    "--skip",
                    "postgres",
                    "--skip",
                    "pooler",
                    "--skip",
                    "both_databases",
                ]);
            }
            let status = Process::start(&mut command)?.wait(self.stop, LIMIT)?;
            // 2: some survived; 3: some took too long.
            if !matches!(status.code(), Some(0 | 2 | 3)) {
                bail!("{} ended with {status}", shown(&command));
            }
            let verdicts = outcomes(&read(&folder.join("mutants.out/outcomes.json"))?);
            known = Some(known.unwrap_or_default().with(verdicts));
        }
        known.with_context(|| format!("nothing of {file} was tried"))
    }

    /// The command for one file.
    fn command(&self, folder: &Path, file: &str, packages: &[&str]) -> Command {
        let mut command = Command::new("nice");
        command.args(["-n", &self.nice.to_string()]).arg(self.tool).args([
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
        command.current_dir(self.root.join("tree")).env("CARGO_TARGET_DIR", self.root.join("build"));
        // Nobody reads a backtrace of these, and without the lines each is built sooner.
        command.env("CARGO_PROFILE_DEV_DEBUG", "false").env_remove(POSTGRES_VARIABLE);
        command.env_remove(POOLER_VARIABLE);
        // What is found in hundreds of random cases alone is not held by a test.
        command.env("PROPTEST_CASES", "8");
        command
    }
}

/// Brings a copy of the sources up to date. It is always at one place, so that little is rebuilt for each file; and
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

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
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

impl Known {
    /// With what became of changes that were tried after it, or again.
    fn with(mut self, verdicts: Verdicts) -> Self {
        self.survivors.clear();
        for (name, verdict) in verdicts {
            match verdict {
                Verdict::Caught => self.caught += 1,
                Verdict::Timeout => self.timeout += 1,
                Verdict::Unviable => self.unviable += 1,
                Verdict::Missed => self.survivors.push(name),
            }
        }
        self
    }

    fn viable(&self) -> usize {
        self.caught + self.timeout + self.survivors.len()
    }

    /// To two places, of those that compile; where there is nothing to kill, all is killed.
    fn percent(&self) -> f64 {
        if self.viable() == 0 {
            return 100.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "changes are far fewer than 2^52")]
        let share = (self.caught + self.timeout) as f64 / self.viable() as f64;
        (share * 10_000.0).round() / 100.0
    }
}

/// What git would call a file.
fn blob(path: &Path) -> Result<String> {
    Ok(output(Command::new("git").args(["hash-object", "--no-filters"]).arg(path))?.trim().to_owned())
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
        let known = Known::default().with(outcomes(&report));
        let expected =
            Known { caught: 1, timeout: 1, unviable: 1, survivors: vec!["b".to_owned()], ..Known::default() };
        assert_eq!(known, expected);
        assert!((known.percent() - 66.67).abs() < 0.001);
        let again = json!({ "outcomes": [outcome("b", "CaughtMutant")] });
        assert!((known.with(outcomes(&again)).percent() - 100.0).abs() < 0.001);
        assert!((Known::default().percent() - 100.0).abs() < 0.001);
    }

    #[test]
    fn every_file_of_the_table_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (file, _) in TABLE {
            assert!(root.join(file).is_file(), "{file}");
        }
    }
}
