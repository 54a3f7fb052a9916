//! `cargo xtask fuzz`: the fuzzers of `fuzz/`, all at once or some. What they judge by is in `crates/fuzzing`.
//!
//! Without a sanitizer: there is no `unsafe` of ours for one to watch, and without it several times as much is tried.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devservers::workspace::Workspace;
use devservers::{Process, Stop, machine, output, succeed};
use regex::Regex;
use serde_json::{Value, json};

use crate::cargo_tools::cargo_tool;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Which fuzzers; all of them when none is named.
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// How long they run, side by side.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// How much each gives way to other work, 0–19.
    #[arg(long, default_value_t = 19, value_parser = clap::value_parser!(u8).range(0..=19))]
    nice: u8,
    /// Run the fuzzers in this folder instead of building them.
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// The result, as JSON; what it says of those that did not run stays [default: docs/results/fuzz.json]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// Access tokens.
    Token,
    /// The cursors of lists.
    Cursor,
    /// The query strings of lists.
    Filter,
    /// JSON bodies.
    Body,
}

impl Target {
    const ALL: [Self; 4] = [Self::Token, Self::Cursor, Self::Filter, Self::Body];

    const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Cursor => "cursor",
            Self::Filter => "filter",
            Self::Body => "body",
        }
    }
}

const TOOLCHAIN: &str = "nightly";
/// The longest input. Most of what is judged has bounds below it.
const MOST_BYTES: &str = "4096";
/// The wall-clock seconds that one input may take on a machine that does much else.
const INPUT_WITHIN_S: &str = "60";
/// The kernel counts a process's time in hundredths of a second, whatever its own tick is.
const TICKS_PER_S: f64 = 100.0;

/// Builds the fuzzers, runs them, and says what they tried and found.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    let targets = if args.targets.is_empty() { Target::ALL.to_vec() } else { args.targets.clone() };
    let root = workspace.target.join("fuzz");
    let binaries = match &args.binaries {
        Some(binaries) => binaries.canonicalize().context("there is no such folder")?,
        None => build(&root, workspace, stop)?,
    };
    let facts = machine::facts(workspace)?;
    let limit = Duration::from_secs(args.minutes * 60);
    // Each run has a folder of its own: what was found stays until somebody has looked at it.
    let folder = root.join("runs").join(machine::now()?.replace(':', ""));
    let mut runs = Vec::new();
    for target in &targets {
        runs.push(Fuzzer::start(target.name(), args, &binaries, &root.join("corpus"), &folder, workspace)?);
    }
    // One that finds something ends early; the others go on. The minute on top is for the input in hand.
    let start = Instant::now();
    while runs.iter().any(|run| run.ended.is_none()) {
        if stop.is_asked() || start.elapsed() > limit + Duration::from_secs(120) {
            runs.iter_mut().try_for_each(|run| run.process.end_group(nix::sys::signal::Signal::SIGINT))?;
            stop.check()?;
        }
        for run in &mut runs {
            run.look()?;
        }
        thread::sleep(Duration::from_millis(200));
    }
    let reports: BTreeMap<&str, Value> = runs.iter().map(|run| Ok((run.name, run.report()?))).collect::<Result<_>>()?;
    let is_clean = runs.iter().all(|run| run.is_clean());
    for run in &runs {
        let report = &reports[run.name];
        println!(
            "{:<8} {:>12} inputs, {:>6} edges, {:>6.0} s of CPU: {}",
            run.name,
            report["executions"],
            report["edges"],
            report["cpu_seconds"].as_f64().unwrap_or_default(),
            if run.is_clean() { "nothing found" } else { "FOUND" }
        );
        for finding in run.findings()? {
            println!("  {}", finding.display());
        }
    }
    if !is_clean {
        println!("keep what was found under fuzz/seeds, and mend it; the logs are in {}", folder.display());
    }
    let out = args.out.clone().unwrap_or_else(|| workspace.root.join("docs/results/fuzz.json"));
    let known = fs::read_to_string(&out).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let mut all = known.and_then(|known| known["targets"].as_object().cloned()).unwrap_or_default();
    for (name, mut report) in reports {
        report["minutes"] = args.minutes.into();
        report["git_commit"] = facts["git_commit"].clone();
        all.insert(name.to_owned(), report);
    }
    machine::write_result_of(&out, json!({ "targets": all }), facts)?;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds all of them; gives back where they are.
fn build(root: &Path, workspace: &Workspace, stop: &Stop) -> Result<PathBuf> {
    let tool = cargo_tool("cargo-fuzz", "0.13.2", workspace, stop)?;
    if output(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "--version"])).is_err() {
        bail!("the fuzzers need the nightly compiler: rustup toolchain install {TOOLCHAIN} --profile minimal");
    }
    let mut command = Command::new(tool);
    command.args(["fuzz", "build", "--sanitizer", "none", "--fuzz-dir", "fuzz", "--target-dir"]).arg(root);
    // It builds with the cargo of this variable, which here would be the one that runs this program.
    command.env_remove("CARGO").env("RUSTUP_TOOLCHAIN", TOOLCHAIN).current_dir(&workspace.root);
    succeed(&mut command, stop)?;
    // cargo-fuzz builds for the machine itself, and always by name.
    Ok(root.join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH)))
}

/// One of them at work.
struct Fuzzer {
    name: &'static str,
    process: Process,
    log: PathBuf,
    findings: PathBuf,
    scratch: PathBuf,
    started: Instant,
    /// Seconds of CPU so far.
    cpu_seconds: f64,
    /// How long it ran, and whether it ended well.
    ended: Option<(Duration, bool)>,
}

impl Fuzzer {
    fn start(
        name: &'static str,
        args: &Args,
        binaries: &Path,
        corpus: &Path,
        folder: &Path,
        workspace: &Workspace,
    ) -> Result<Self> {
        let made = |path: PathBuf| {
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
            anyhow::Ok(path)
        };
        let corpus = made(corpus.join(name))?;
        let findings = made(folder.join(name).join("findings"))?;
        let scratch = made(folder.join(name).join("scratch"))?;
        let log = folder.join(name).join("log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new("nice");
        command.args(["-n", &args.nice.to_string()]).arg(binaries.join(name));
        command.arg(corpus).arg(workspace.root.join("fuzz/seeds").join(name));
        command.arg(format!("-dict={}", workspace.root.join(format!("fuzz/dictionaries/{name}.dict")).display()));
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        command.arg(format!("-max_total_time={}", args.minutes * 60));
        command.args([&format!("-max_len={MOST_BYTES}"), &format!("-timeout={INPUT_WITHIN_S}")]);
        command.args(["-rss_limit_mb=1024", "-print_final_stats=1"]);
        command.env("TMPDIR", &scratch);
        command.stdin(Stdio::null()).stdout(file.try_clone().context("cannot share a log")?).stderr(file);
        let process = Process::start(&mut command)?;
        Ok(Self { name, process, log, findings, scratch, started: Instant::now(), cpu_seconds: 0.0, ended: None })
    }

    /// Notes what it has used, and whether it has ended.
    fn look(&mut self) -> Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        if let Some(seconds) = cpu_seconds(self.process.pid()) {
            self.cpu_seconds = seconds;
        }
        if let Some(status) = self.process.ended()? {
            self.ended = Some((self.started.elapsed(), status.success()));
            // Ended by libFuzzer, a fuzzer cannot tidy its database away.
            fs::remove_dir_all(&self.scratch).with_context(|| format!("cannot remove {}", self.scratch.display()))?;
        }
        Ok(())
    }

    fn is_clean(&self) -> bool {
        self.ended.is_some_and(|(_, is_good)| is_good)
    }

    fn findings(&self) -> Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(&self.findings).with_context(|| format!("cannot read {}", self.findings.display()))?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }

    fn report(&self) -> Result<Value> {
        let text = fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let Progress { executions, edges, features, corpus } = Progress::read(&text)?;
        let findings: Vec<String> = self
            .findings()?
            .iter()
            .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
            .collect();
        let (wall, is_good) = self.ended.unwrap_or_default();
        Ok(json!({
            "executions": executions,
            "edges": edges,
            "features": features,
            "corpus": corpus,
            "wall_seconds": wall.as_secs(),
            "cpu_seconds": self.cpu_seconds.round(),
            "ended_well": is_good,
            "findings": findings,
        }))
    }
}

/// What a process and its threads have used so far; none once it is gone.
fn cpu_seconds(pid: i32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold spaces; after its bracket come the state, and eleven fields on the two times.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_S)
}

/// The last that libFuzzer said of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    executions: u64,
    edges: u64,
    features: u64,
    corpus: u64,
}

impl Progress {
    fn read(log: &str) -> Result<Self> {
        let line =
            Regex::new(r"(?m)^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/").context("a constant pattern")?;
        let number = |text: &str| text.parse::<u64>().context("a number in libFuzzer's log");
        let mut progress = Self::default();
        if let Some(found) = line.captures_iter(log).last() {
            let [executions, edges, features, corpus] = found.extract().1;
            progress = Self {
                executions: number(executions)?,
                edges: number(edges)?,
                features: number(features)?,
                corpus: number(corpus)?,
            };
        }
        if let Some((_, rest)) = log.rsplit_once("stat::number_of_executed_units:") {
            progress.executions = number(rest.split_whitespace().next().unwrap_or_default())?;
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_and_the_final_count_are_read() {
        let log = "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 40Mb\n\
                   #4096\tpulse  cov: 20 ft: 33 corp: 7/90b lim: 4096 exec/s: 2048 rss: 50Mb\n\
                   Done 5000 runs in 2 second(s)\nstat::number_of_executed_units: 5000\nstat::peak_rss_mb: 50\n";
        let read = Progress::read(log).unwrap();
        assert_eq!(read, Progress { executions: 5000, edges: 20, features: 33, corpus: 7 });
        assert_eq!(Progress::read("cannot start").unwrap(), Progress::default());
    }

    #[test]
    fn a_process_has_used_time() {
        assert!(cpu_seconds(i32::try_from(std::process::id()).unwrap()).is_some());
        assert_eq!(cpu_seconds(i32::MAX), None);
    }
}
