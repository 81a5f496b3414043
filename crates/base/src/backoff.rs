//! How long to wait before trying again.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::{Instant, Random};

/// Doubling waits from `first` to `limit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer than this (before jitter).
    pub limit: Duration,
    /// How much of the wait chance may add: 0.1 adds up to a tenth.
    pub jitter: f64,
}

impl Backoff {
    /// The wait before attempt `failures + 1`; zero failures wait not at all.
    #[must_use]
    pub fn delay(&self, failures: u32, random: &Random) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let plain = self.first.saturating_mul(1u32.checked_shl(failures - 1).unwrap_or(u32::MAX)).min(self.limit);
        plain.mul_f64(1.0 + self.jitter * random.fraction())
    }
}

/// Failures counted per key, forgotten after a success or after `2 × limit` without a failure.
#[derive(Debug)]
pub struct BackoffTable<K> {
    backoff: Backoff,
    failures: HashMap<K, (u32, Instant)>,
}

impl<K: Eq + Hash> BackoffTable<K> {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, failures: HashMap::new() }
    }

    /// Counts a failure of `key` and gives the wait that follows it.
    pub fn failed(&mut self, key: K, now: Instant, random: &Random) -> Duration {
        let keep = self.backoff.limit.saturating_mul(2);
        self.failures.retain(|_, (_, last)| now.saturating_duration_since(*last) <= keep);
        let entry = self.failures.entry(key).or_insert((0, now));
        *entry = (entry.0.saturating_add(1), now);
        self.backoff.delay(entry.0, random)
    }

    /// Forgets the failures of `key`.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// How often `key` failed in a row.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).map_or(0, |entry| entry.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Backoff = Backoff { first: Duration::from_secs(10), limit: Duration::from_secs(300), jitter: 0.0 };

    #[test]
    fn doubles_up_to_the_limit() {
        let random = Random::seeded(1);
        let seconds: Vec<u64> = (0..8).map(|n| TEN.delay(n, &random).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(TEN.delay(u32::MAX, &random).as_secs(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_after_success_and_after_quiet() {
        let (random, clock) = (Random::seeded(1), crate::Clock::system());
        let mut table = BackoffTable::new(TEN);
        assert_eq!(table.failed("a", clock.instant(), &random).as_secs(), 10);
        assert_eq!(table.failed("a", clock.instant(), &random).as_secs(), 20);
        table.succeeded(&"a");
        assert_eq!(table.failed("a", clock.instant(), &random).as_secs(), 10);
        clock.sleep(Duration::from_secs(601)).await;
        assert_eq!(table.failed("a", clock.instant(), &random).as_secs(), 10);
    }
}
