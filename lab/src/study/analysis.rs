//! What samples say, and how sure that is. Rates and times are compared as ratios, so their logarithms are what is averaged;
//! intervals are Student's at 95 %, ratios Welch's (Welch 1947), which does not take both sides to be equally noisy.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::results::Sample;
use crate::study::plan::Cell;
use crate::study::run_log::Line;

/// Several rounds of one measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The geometric mean.
    pub value: f64,
    /// The interval's ends; nothing from one round, which says nothing of its noise.
    pub low: Option<f64>,
    /// The interval's ends.
    pub high: Option<f64>,
    /// Rounds.
    pub rounds: usize,
}

/// How two compare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The first divided by the second.
    pub value: f64,
    /// The interval's ends.
    pub low: Option<f64>,
    /// The interval's ends.
    pub high: Option<f64>,
    /// Whether the interval leaves out 1.
    pub is_difference: bool,
}

/// One cell with everything measured of it.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Which.
    #[serde(flatten)]
    pub cell: Cell,
    /// By measure.
    pub measures: BTreeMap<String, Estimate>,
    /// Each round's.
    #[serde(skip)]
    pub samples: Vec<Sample>,
}

impl Measured {
    /// One measure, round by round.
    pub fn values(&self, measure: &str) -> Vec<f64> {
        self.samples.iter().filter_map(|sample| sample.get(measure).copied()).collect()
    }

    /// This one's measure divided by another's.
    pub fn over(&self, other: &Self, measure: &str) -> Option<Ratio> {
        ratio(&self.values(measure), &other.values(measure))
    }
}

/// All cells of a run log in the order in which they came.
pub fn measured(lines: &[Line]) -> Vec<Measured> {
    let mut all: Vec<Measured> = Vec::new();
    let mut at = BTreeMap::new();
    for line in lines {
        let Line::Sample { cell, sample, .. } = line else { continue };
        let index = *at.entry(cell.id()).or_insert_with(|| {
            all.push(Measured { cell: cell.clone(), measures: BTreeMap::new(), samples: Vec::new() });
            all.len() - 1
        });
        all[index].samples.push(sample.clone());
    }
    for one in &mut all {
        let names: Vec<String> = one.samples.iter().flat_map(|sample| sample.keys().cloned()).collect();
        for name in names {
            let estimate = estimate(&one.values(&name));
            one.measures.extend(estimate.map(|estimate| (name, estimate)));
        }
    }
    all
}

/// `None` of nothing. What is not above 0 has no logarithm: then it is the plain mean, without an interval.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let rounds = values.len();
    if values.iter().any(|value| *value <= 0.0) {
        let value = values.iter().sum::<f64>() / rounds as f64;
        return Some(Estimate { value, low: None, high: None, rounds });
    }
    let (mean, variance) = moments(&logs(values));
    let (low, high) = match variance {
        Some(variance) => {
            let half = student(rounds as f64 - 1.0) * (variance / rounds as f64).sqrt();
            (Some((mean - half).exp()), Some((mean + half).exp()))
        }
        None => (None, None),
    };
    Some(Estimate { value: mean.exp(), low, high, rounds })
}

/// `None` where there is nothing above 0 on both sides.
pub fn ratio(these: &[f64], those: &[f64]) -> Option<Ratio> {
    let is_good = |values: &[f64]| !values.is_empty() && values.iter().all(|value| *value > 0.0);
    if !is_good(these) || !is_good(those) {
        return None;
    }
    let ((mean, variance), (other_mean, other_variance)) = (moments(&logs(these)), moments(&logs(those)));
    let difference = mean - other_mean;
    let value = difference.exp();
    let (Some(variance), Some(other_variance)) = (variance, other_variance) else {
        return Some(Ratio { value, low: None, high: None, is_difference: false });
    };
    let (n, m) = (these.len() as f64, those.len() as f64);
    let (a, b) = (variance / n, other_variance / m);
    let freedom = if a + b > 0.0 { (a + b).powi(2) / (a * a / (n - 1.0) + b * b / (m - 1.0)) } else { n + m - 2.0 };
    let half = student(freedom) * (a + b).sqrt();
    let (low, high) = ((difference - half).exp(), (difference + half).exp());
    Some(Ratio { value, low: Some(low), high: Some(high), is_difference: low > 1.0 || high < 1.0 })
}

fn logs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.ln()).collect()
}

/// Mean, and the variance where there are two or more.
fn moments(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (values.len() > 1).then(|| square / (count - 1.0)))
}

/// The 97.5th percentile of Student's distribution; degrees of freedom between two of the table take the lower, which is
/// the wider interval.
fn student(freedom: f64) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
    let at = freedom.floor().clamp(1.0, 30.0) as usize;
    TABLE[at - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!((found / wanted - 1.0).abs() < 1e-3, "{found} instead of {wanted}");
    }

    #[test]
    fn an_estimate_has_an_interval_from_two_rounds_on() {
        assert_eq!(estimate(&[]), None);
        let one = estimate(&[4.0]).unwrap();
        assert_eq!((one.value, one.low), (4.0, None));
        let two = estimate(&[1.0, 4.0]).unwrap();
        close(two.value, 2.0);
        // ln 2 ± 12.706 · sd(0, ln 4)/√2
        close(two.high.unwrap(), (2.0_f64.ln() + 12.706 * (4.0_f64.ln() / 2.0)).exp());
        assert_eq!(estimate(&[0.0, 2.0]).unwrap().value, 1.0);
    }

    #[test]
    fn noise_larger_than_the_difference_is_no_difference() {
        let noisy = ratio(&[90.0, 100.0, 110.0], &[95.0, 105.0, 115.0]).unwrap();
        assert!(!noisy.is_difference, "{noisy:?}");
        let clear = ratio(&[200.0, 202.0, 204.0], &[100.0, 101.0, 102.0]).unwrap();
        assert!(clear.is_difference && clear.low.unwrap() > 1.9, "{clear:?}");
        let once = ratio(&[200.0], &[100.0]).unwrap();
        assert!(!once.is_difference && once.low.is_none(), "one round proves nothing: {once:?}");
        assert_eq!(ratio(&[1.0], &[]), None);
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }

    /// Worked out by hand: 3.28 degrees of freedom, of which the table has 3.
    #[test]
    fn the_interval_is_welchs() {
        let found = ratio(&[9.0, 10.0, 12.0], &[20.0, 22.0, 21.0, 25.0]).unwrap();
        close(found.value, 0.4680);
        close(found.low.unwrap(), 0.3440);
        close(found.high.unwrap(), 0.6367);
    }
}
