//! What is being done and how much is left, for whoever watches.

use std::cell::Cell;
use std::time::Instant;

/// Counts steps of about the same length.
pub struct Progress {
    start: Instant,
    steps: usize,
    done: Cell<usize>,
}

impl Progress {
    /// So many steps are planned.
    pub fn new(steps: usize) -> Self {
        Self { start: Instant::now(), steps, done: Cell::new(0) }
    }

    /// Says which step begins.
    pub fn step(&self, what: &str) {
        let done = self.done.replace(self.done.get() + 1);
        let left = left_s(self.start.elapsed().as_secs_f64(), done, self.steps);
        let left = left.map_or(String::new(), |left| format!(", about {} left", shown(left)));
        eprintln!("[{}/{}{left}] {what}", done + 1, self.steps.max(done + 1));
    }
}

/// Seconds left after `done` of `steps` took so long; `None` as long as nothing is known.
fn left_s(elapsed_s: f64, done: usize, steps: usize) -> Option<f64> {
    (done > 0).then(|| elapsed_s / done as f64 * steps.saturating_sub(done) as f64)
}

fn shown(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left() {
        assert_eq!(left_s(10.0, 0, 5), None);
        assert_eq!(left_s(10.0, 2, 5), Some(15.0));
        assert_eq!(left_s(10.0, 6, 5), Some(0.0));
        assert_eq!((shown(89.0), shown(150.0)), ("89 s".to_owned(), "2 min".to_owned()));
    }
}
