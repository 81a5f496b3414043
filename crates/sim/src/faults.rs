//! What goes wrong, and how often: drawn from the seed, in force until told to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::Random;

/// Requests take up to so long while faults are in force.
const LATENCY_LIMIT_MS: usize = 20;
/// A watch that breaks does so within this time.
const WATCH_LIFE_LIMIT_MS: usize = 60_000;
/// A held-back event of a watch comes at most so much later.
const WATCH_DELAY_LIMIT_MS: usize = 3_000;
/// A component that crashes does so within so many writes.
const WRITES_BETWEEN_CRASHES: usize = 60;

/// How often something goes wrong, each in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Updates answered with a conflict.
    pub conflicts: usize,
    /// Writes answered with an error, not carried out.
    pub errors: usize,
    /// Writes carried out whose answer is lost.
    pub lost_answers: usize,
    /// Watches that break.
    pub broken_watches: usize,
    /// Events of watches that are held back, and all behind them.
    pub held_events: usize,
    /// Starts of a component that end in a crash.
    pub crashes: usize,
}

impl Rates {
    /// Each kind of fault is there in two of three draws.
    #[must_use]
    pub fn drawn(random: &Random) -> Self {
        let rate = |often: usize| if random.below(3) == 0 { 0 } else { 1 + random.below(often) };
        Self {
            conflicts: rate(100),
            errors: rate(50),
            lost_answers: rate(50),
            broken_watches: rate(800),
            held_events: rate(50),
            crashes: rate(1000),
        }
    }
}

/// How a write goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// Somebody else was faster.
    Conflict,
    /// The server could not do it.
    Error,
    /// The connection broke before the server heard of it.
    Refused,
    /// The connection broke after the server did it.
    LostAnswer,
}

/// The faults of one simulation.
pub struct Faults {
    rates: Rates,
    in_force: AtomicBool,
    random: Random,
}

struct Dice<'a>(&'a Random);

impl Dice<'_> {
    fn says(&self, thousandths: usize) -> bool {
        self.0.below(1000) < thousandths
    }

    fn up_to_ms(&self, limit: usize) -> Duration {
        Duration::from_millis(self.0.below(limit) as u64)
    }
}

impl Faults {
    /// Faults at these rates, in force from now on.
    #[must_use]
    pub fn new(rates: Rates, random: Random) -> Self {
        Self { rates, in_force: AtomicBool::new(true), random }
    }

    /// From now on nothing goes wrong any more.
    pub fn end(&self) {
        self.in_force.store(false, Ordering::Relaxed);
    }

    /// Whether things go wrong still.
    #[must_use]
    pub fn are_in_force(&self) -> bool {
        self.in_force.load(Ordering::Relaxed)
    }

    /// How long a request is on its way.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.dice().map_or(Duration::ZERO, |dice| dice.up_to_ms(LATENCY_LIMIT_MS))
    }

    /// How a write goes wrong, if it does. Only an update can conflict.
    #[must_use]
    pub fn write(&self, is_update: bool) -> Option<WriteFault> {
        let dice = self.dice()?;
        if dice.says(self.rates.conflicts) && is_update {
            return Some(WriteFault::Conflict);
        }
        if dice.says(self.rates.errors) {
            return Some(if dice.says(500) { WriteFault::Error } else { WriteFault::Refused });
        }
        dice.says(self.rates.lost_answers).then_some(WriteFault::LostAnswer)
    }

    /// After how long a new watch breaks, if it does.
    #[must_use]
    pub fn watch_life(&self) -> Option<Duration> {
        let dice = self.dice()?;
        dice.says(self.rates.broken_watches).then(|| dice.up_to_ms(WATCH_LIFE_LIMIT_MS))
    }

    /// Whether a watch that breaks does so with an error, rather than with a proper end.
    #[must_use]
    pub fn breaks_loudly(&self) -> bool {
        Dice(&self.random).says(500)
    }

    /// How long the next event of a watch is held back.
    #[must_use]
    pub fn hold(&self) -> Option<Duration> {
        let dice = self.dice()?;
        dice.says(self.rates.held_events).then(|| dice.up_to_ms(WATCH_DELAY_LIMIT_MS))
    }

    /// After how many writes a component that starts now crashes, if it does.
    #[must_use]
    pub fn crash(&self) -> Option<usize> {
        let dice = self.dice()?;
        dice.says(self.rates.crashes).then(|| self.random.below(WRITES_BETWEEN_CRASHES))
    }

    /// Whether a crash comes after the write was carried out, rather than before.
    #[must_use]
    pub fn crashes_after(&self) -> bool {
        Dice(&self.random).says(500)
    }

    fn dice(&self) -> Option<Dice<'_>> {
        self.are_in_force().then_some(Dice(&self.random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_wrong_after_the_end() {
        let all = Rates {
            conflicts: 1000,
            errors: 1000,
            lost_answers: 1000,
            broken_watches: 1000,
            held_events: 1000,
            crashes: 1000,
        };
        let faults = Faults::new(all, Random::seeded(1));
        assert_eq!(faults.write(true), Some(WriteFault::Conflict));
        assert_ne!(faults.write(false), Some(WriteFault::Conflict));
        assert!(faults.watch_life().is_some() && faults.hold().is_some() && faults.crash().is_some());
        faults.end();
        assert_eq!((faults.write(true), faults.watch_life(), faults.crash()), (None, None, None));
    }
}
