//! What is kept of a run: every sample as it was taken, and the figures made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stats::{self, Verdict, Wanted};

/// A whole run; `results.json` in its folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// Machine, versions, commit, command.
    pub setup: Value,
    /// The rows, in order.
    pub rows: Vec<Row>,
}

/// One comparison.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// As `--rows` names it.
    pub id: String,
    /// For people.
    pub title: String,
    /// How it was measured.
    pub how: String,
    /// Who took part.
    pub targets: Vec<Measured>,
    /// What came out.
    pub figures: Vec<Figure>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// One target's samples.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// The folder's name, and what was special about it this time.
    pub name: String,
    /// The verdict on its answers.
    pub contract: String,
    /// One for each round.
    pub samples: Vec<Sample>,
}

/// Figures of one round by their names, units in the names.
pub type Sample = BTreeMap<String, f64>;

/// A figure and what was wanted of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub what: String,
    /// The figure: a median of the rounds, or a ratio of two.
    pub value: f64,
    /// `×`, `/s`, `ms`, `MiB`, …
    pub unit: String,
    /// The spread of what it was made from, as a share; of a ratio, of the noisier side.
    pub noise: Option<f64>,
    /// What was wanted.
    pub goal: Option<Goal>,
}

/// A goal and what was made of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Goal {
    /// Which side is good.
    pub wanted: Wanted,
    /// Of the figure's unit.
    pub value: f64,
    /// The judgement.
    pub verdict: Verdict,
}

impl Figure {
    /// A figure nobody set a goal for.
    pub fn new(what: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { what: what.into(), value, unit: unit.to_owned(), noise: None, goal: None }
    }

    /// With its noise.
    pub fn noise(self, noise: Option<f64>) -> Self {
        Self { noise, ..self }
    }

    /// Judged.
    pub fn goal(self, goal: Option<(Wanted, f64)>) -> Self {
        let goal = goal.map(|(wanted, value)| Goal { wanted, value, verdict: stats::judge(self.value, wanted, value) });
        Self { goal, ..self }
    }
}

impl Row {
    /// An empty one.
    pub fn new(id: &str, title: &str, how: &str) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), how: how.to_owned(), ..Self::default() }
    }

    /// The target of this name, added if it is not there yet.
    pub fn measured(&mut self, name: &str) -> &mut Measured {
        let at = self.targets.iter().position(|measured| measured.name == name).unwrap_or_else(|| {
            let contract = "not checked here".to_owned();
            self.targets.push(Measured { name: name.to_owned(), contract, samples: Vec::new() });
            self.targets.len() - 1
        });
        &mut self.targets[at]
    }

    /// One target's values of one measure.
    pub fn values(&self, name: &str, measure: &str) -> Vec<f64> {
        let samples = self.targets.iter().filter(|measured| measured.name == name).flat_map(|m| &m.samples);
        samples.filter_map(|sample| sample.get(measure).copied()).collect()
    }

    /// One target's median of one measure as a figure; nothing if it was not measured.
    pub fn median(&self, name: &str, measure: &str, what: &str, unit: &str) -> Option<Figure> {
        let values = self.values(name, measure);
        Some(Figure::new(what, stats::median(&values)?, unit).noise(stats::spread(&values)))
    }

    /// The ratio of two medians, one target's to another's; nothing if either was not measured.
    pub fn ratio(&self, name: &str, against: &str, measure: &str, what: &str) -> Option<Figure> {
        let (ours, theirs) = (self.values(name, measure), self.values(against, measure));
        let below = stats::median(&theirs).filter(|median| *median != 0.0)?;
        let noise = stats::spread(&ours).into_iter().chain(stats::spread(&theirs)).max_by(f64::total_cmp);
        Some(Figure::new(what, stats::median(&ours)? / below, "×").noise(noise))
    }
}

impl Run {
    /// Reads `results.json` of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("results.json");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a run's results", file.display()))
    }

    /// Writes it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("results.json");
        let text = serde_json::to_string_pretty(self).context("cannot write the results as JSON")?;
        fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let mut row = Row::new("a", "A", "so");
        for (name, values) in [("ours", [80.0, 90.0, 100.0]), ("theirs", [100.0, 120.0, 130.0])] {
            for value in values {
                row.measured(name).samples.push(Sample::from([("rate".to_owned(), value)]));
            }
        }
        row
    }

    #[test]
    fn medians_and_ratios_of_samples() {
        let row = row();
        let median = row.median("ours", "rate", "rate", "/s").unwrap();
        assert_eq!((median.value, median.noise), (90.0, Some(20.0 / 90.0)));
        let ratio = row.ratio("ours", "theirs", "rate", "rate").unwrap().goal(Some((Wanted::AtLeast, 0.75)));
        assert_eq!((ratio.value, ratio.noise), (0.75, Some(0.25)));
        assert_eq!(ratio.goal.unwrap().verdict, Verdict::Met);
    }

    #[test]
    fn what_was_not_measured_has_no_figure() {
        let row = row();
        assert!(row.median("ours", "other", "", "").is_none());
        assert!(row.ratio("ours", "nobody", "rate", "").is_none());
    }
}
