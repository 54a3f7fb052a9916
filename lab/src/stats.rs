//! The arithmetic: medians, percentiles, spreads, and what a ratio says of its goal.

use serde::{Deserialize, Serialize};

/// The middle value; of an even number, the mean of the two in the middle. `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The smallest value that at least `share` (0 to 1) of all are not above; `sorted` goes up.
pub fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a small index")]
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize - 1;
    Some(sorted[rank.min(last)])
}

/// How far the values lie apart, as a share of their median: 0.1 is 10 %.
pub fn spread(values: &[f64]) -> Option<f64> {
    let median = median(values)?;
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(least, most), v| (least.min(*v), most.max(*v)));
    (median != 0.0).then(|| (most - least) / median)
}

/// Which side of the goal is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// The goal or more.
    AtLeast,
    /// The goal or less.
    AtMost,
}

/// What a figure says of its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Reached.
    Met,
    /// Missed, by a fifth of the goal at most.
    Close,
    /// Missed by more: it needs a profile and an attempt.
    Missed,
}

/// Judges `figure` against `goal`.
pub fn judge(figure: f64, wanted: Wanted, goal: f64) -> Verdict {
    let (met, close) = match wanted {
        Wanted::AtLeast => (figure >= goal, figure >= 0.8 * goal),
        Wanted::AtMost => (figure <= goal, figure <= goal / 0.8),
    };
    match (met, close) {
        (true, _) => Verdict::Met,
        (false, true) => Verdict::Close,
        (false, false) => Verdict::Missed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 5.0, 2.0]), Some(3.5));
    }

    #[test]
    fn percentiles() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[7], 0.0), Some(7));
        assert_eq!(percentile(&[7], 1.0), Some(7));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 0.5), Some(50));
        assert_eq!(percentile(&hundred, 0.99), Some(99));
        assert_eq!(percentile(&hundred, 0.991), Some(100));
        assert_eq!(percentile(&hundred, 1.0), Some(100));
    }

    #[test]
    fn spreads() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[4.0]), Some(0.0));
        assert_eq!(spread(&[9.0, 10.0, 12.0]), Some(0.3));
        assert_eq!(spread(&[0.0, 0.0]), None);
    }

    #[test]
    fn verdicts() {
        use Verdict::{Close, Met, Missed};
        for (figure, wanted, goal, verdict) in [
            (0.50, Wanted::AtLeast, 0.5, Met),
            (0.49, Wanted::AtLeast, 0.5, Close),
            (0.40, Wanted::AtLeast, 0.5, Close),
            (0.39, Wanted::AtLeast, 0.5, Missed),
            (3.0, Wanted::AtMost, 3.0, Met),
            (3.1, Wanted::AtMost, 3.0, Close),
            (3.75, Wanted::AtMost, 3.0, Close),
            (3.76, Wanted::AtMost, 3.0, Missed),
        ] {
            assert_eq!(judge(figure, wanted, goal), verdict, "{figure} {wanted:?} {goal}");
        }
    }
}
