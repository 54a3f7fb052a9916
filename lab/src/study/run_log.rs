//! What was found so far, a line each, written at once: a run that was cut off goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::results::Sample;
use crate::study::contract::Finding;
use crate::study::plan::{Cell, Setting};

/// A line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// A run began, or went on.
    Began {
        /// Machine, versions, commit, command.
        setup: Value,
        /// The plan, as it was.
        plan: String,
    },
    /// What is said of who takes part.
    Target {
        /// The folder.
        name: String,
        /// What the report says of it.
        about: Value,
        /// Why it could not be built.
        absent: Option<String>,
    },
    /// Whether a target does the same work.
    Contract {
        /// Whose.
        target: String,
        /// With what it was started.
        setting: Setting,
        /// Clause by clause.
        findings: Vec<Finding>,
    },
    /// A measurement.
    Sample {
        /// Of what.
        cell: Cell,
        /// In which round.
        round: usize,
        /// What was found.
        sample: Sample,
    },
    /// What was to be measured and was not.
    Missing {
        /// Of what.
        cell: Cell,
        /// Why not.
        why: String,
        /// It cannot be: nobody tries again.
        is_final: bool,
    },
}

/// The file, and what is in it.
pub struct RunLog {
    file: File,
    path: PathBuf,
    /// All lines.
    pub lines: Vec<Line>,
}

const NAME: &str = "journal.jsonl";

impl RunLog {
    /// Goes on with the one in `folder`, or begins one; an error if it is of another plan.
    pub fn open(folder: &Path, plan: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(NAME);
        let lines = if path.exists() { read(&path)? } else { Vec::new() };
        drop_cut_line(&path)?;
        let others = lines.iter().any(|line| matches!(line, Line::Began { plan: other, .. } if other != plan));
        ensure!(
            !others,
            "{} is of another plan: choose another folder with --out, or remove it to begin anew",
            folder.display()
        );
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { file: file.with_context(|| format!("cannot write {}", path.display()))?, path, lines })
    }

    /// Reads the one in `folder`.
    pub fn read(folder: &Path) -> Result<Vec<Line>> {
        read(&folder.join(NAME))
    }

    /// Keeps a line.
    pub fn keep(&mut self, line: Line) -> Result<()> {
        let text = serde_json::to_string(&line).context("cannot write a line as JSON")?;
        writeln!(self.file, "{text}").with_context(|| format!("cannot write {}", self.path.display()))?;
        self.lines.push(line);
        Ok(())
    }

    /// Which rounds of which cells are done.
    pub fn done(&self) -> BTreeSet<(String, usize)> {
        let done = |line: &Line| match line {
            Line::Sample { cell, round, .. } => Some((cell.id(), *round)),
            _ => None,
        };
        self.lines.iter().filter_map(done).collect()
    }

    /// What was found of the contract, by target and setting.
    pub fn contracts(&self) -> BTreeMap<(String, Setting), Vec<Finding>> {
        let found = |line: &Line| match line {
            Line::Contract { target, setting, findings } => Some(((target.clone(), setting.clone()), findings.clone())),
            _ => None,
        };
        self.lines.iter().filter_map(found).collect()
    }
}

/// What was cut off is measured again, on a line of its own.
fn drop_cut_line(path: &Path) -> Result<()> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(()) };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        fs::write(path, &text[..whole]).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let count = text.lines().count();
    let mut lines = Vec::with_capacity(count);
    for (at, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            // Where it was cut off.
            Err(_) if at + 1 == count && !text.ends_with('\n') => {}
            Err(error) => return Err(error).with_context(|| format!("{}, line {}", path.display(), at + 1)),
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::plan::{Endpoint, Factors};

    #[test]
    fn a_run_that_was_cut_off_goes_on() {
        let folder = std::env::temp_dir().join(format!("lab-journal-{}", std::process::id()));
        let cell = Cell { target: "a".into(), endpoint: Endpoint::Health, factors: Factors::default() };
        let sample = Sample::from([("requests_per_s".to_owned(), 1.5)]);
        let mut run_log = RunLog::open(&folder, "plan").unwrap();
        run_log.keep(Line::Began { setup: Value::Null, plan: "plan".into() }).unwrap();
        run_log.keep(Line::Sample { cell: cell.clone(), round: 1, sample }).unwrap();
        drop(run_log);
        let whole = fs::read_to_string(folder.join(NAME)).unwrap();
        fs::write(folder.join(NAME), format!("{whole}{{\"kind\":\"sam")).unwrap();
        let mut again = RunLog::open(&folder, "plan").unwrap();
        assert_eq!(again.done(), BTreeSet::from([(cell.id(), 1)]));
        again.keep(Line::Sample { cell: cell.clone(), round: 2, sample: Sample::default() }).unwrap();
        assert_eq!(RunLog::read(&folder).unwrap().len(), 3);
        assert!(RunLog::open(&folder, "another").is_err());
        fs::write(folder.join(NAME), format!("nonsense\n{whole}")).unwrap();
        assert!(RunLog::read(&folder).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
