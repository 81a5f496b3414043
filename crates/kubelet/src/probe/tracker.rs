//! Counts a probe's results until they decide something.

/// Results in a row against the thresholds.
#[derive(Debug)]
pub(super) struct Tracker {
    success_threshold: i32,
    failure_threshold: i32,
    last: Option<bool>,
    run: i32,
}

impl Tracker {
    pub(super) fn new(success_threshold: i32, failure_threshold: i32) -> Self {
        Self { success_threshold, failure_threshold, last: None, run: 0 }
    }

    /// Counts one result; the verdict once enough of the same came in a row.
    pub(super) fn count(&mut self, success: bool) -> Option<bool> {
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        (self.run >= threshold).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_after_enough_in_a_row() {
        let mut tracker = Tracker::new(1, 3);
        let verdicts: Vec<_> = "+--+---".chars().map(|result| tracker.count(result == '+')).collect();
        assert_eq!(verdicts, [Some(true), None, None, Some(true), None, None, Some(false)]);
    }
}
