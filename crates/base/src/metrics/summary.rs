//! Quantiles of late: of what was measured in the last hours, to within a fiftieth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;

use super::family::{About, Family, Sample, Shape, Value};
use super::registry::{Collect, Registry};
use crate::{Clock, Instant};

/// What is told: the median and what few exceed.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// What is older than this is forgotten, a part at a time.
const MAX_AGE: Duration = Duration::from_secs(5 * 3600);

/// The parts.
const AGES: usize = 5;

/// Bounds grow by this: the middle of a bin is at most two hundredths from what fell in it.
const GROWTH: f64 = 1.04;

/// The first bin ends here, in seconds.
const FIRST: f64 = 1e-6;

/// Bins up to some minutes.
const BINS: usize = 512;

/// Quantiles of one set of labels.
#[derive(Debug)]
pub struct Summary {
    clock: Clock,
    started: Instant,
    ages: [Age; AGES],
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

#[derive(Debug)]
struct Age {
    /// Which part of time this counts; the number of the parts since the start.
    part: AtomicU64,
    bins: Box<[AtomicU32]>,
}

impl Summary {
    fn new(clock: Clock) -> Self {
        let age = |part: usize| Age {
            part: AtomicU64::new(part as u64),
            bins: (0..BINS).map(|_| AtomicU32::new(0)).collect(),
        };
        let started = clock.instant();
        Self {
            clock,
            started,
            ages: std::array::from_fn(age),
            count: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// It took so long.
    pub fn took(&self, time: Duration) {
        let part = self.part();
        let age = &self.ages[usize::try_from(part % AGES as u64).unwrap_or(0)];
        if age.part.swap(part, Relaxed) != part {
            age.bins.iter().for_each(|bin| bin.store(0, Relaxed));
        }
        age.bins[bin(time.as_secs_f64())].fetch_add(1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn part(&self) -> u64 {
        let since = self.clock.instant().saturating_duration_since(self.started).as_secs();
        since / (MAX_AGE.as_secs() / AGES as u64)
    }

    fn value(&self) -> Value {
        let now = self.part();
        let recent = self.ages.iter().filter(|age| age.part.load(Relaxed) + AGES as u64 > now);
        let mut bins = [0; BINS];
        for age in recent {
            bins.iter_mut().zip(&age.bins).for_each(|(sum, bin)| *sum += u64::from(bin.load(Relaxed)));
        }
        let quantiles = QUANTILES.map(|which| (which, quantile(&bins, which))).to_vec();
        #[allow(clippy::cast_precision_loss, reason = "a sum in seconds is not wanted to the nanosecond")]
        let sum = self.nanoseconds.load(Relaxed) as f64 / 1e9;
        Value::Summary { quantiles, sum, count: self.count.load(Relaxed) }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number is within the bins")]
fn bin(seconds: f64) -> usize {
    if seconds <= FIRST {
        return 0;
    }
    ((seconds / FIRST).ln() / GROWTH.ln()).ceil().min((BINS - 1) as f64) as usize
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn quantile(bins: &[u64; BINS], which: f64) -> f64 {
    let total: u64 = bins.iter().sum();
    if total == 0 {
        return f64::NAN;
    }
    let (wanted, mut seen) = (which * total as f64, 0.0);
    for (at, count) in bins.iter().enumerate() {
        seen += *count as f64;
        if seen >= wanted {
            let exponent = i32::try_from(at).unwrap_or(i32::MAX);
            return FIRST * GROWTH.powi(exponent) / GROWTH.sqrt();
        }
    }
    f64::NAN
}

/// Quantiles by their labels.
#[derive(Clone)]
pub struct Summaries(Arc<Inner>);

struct Inner {
    about: About,
    /// Sorted by name.
    names: Vec<&'static str>,
    clock: Clock,
    cells: RwLock<BTreeMap<Vec<String>, Arc<Summary>>>,
}

impl Summaries {
    /// A family of `registry`; `labels` are sorted.
    #[must_use]
    pub fn new(registry: &Registry, about: About, labels: &[&'static str], clock: Clock) -> Self {
        crate::never!(!labels.is_sorted(), "the labels of a summary are sorted");
        let inner = Arc::new(Inner { about, names: labels.to_vec(), clock, cells: RwLock::default() });
        registry.add(inner.clone());
        Self(inner)
    }

    /// The quantiles for these values.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Arc<Summary> {
        let key: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let make = || Arc::new(Summary::new(self.0.clock.clone()));
        self.0.cells.write().entry(key).or_insert_with(make).clone()
    }
}

impl std::fmt::Debug for Summaries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Summaries").field(&self.0.about.name).finish()
    }
}

impl Collect for Inner {
    fn family(&self) -> Family {
        let cells = self.cells.read();
        let used = cells.iter().filter(|(_, cell)| cell.count.load(Relaxed) > 0);
        let samples = used.map(|(labels, cell)| Sample { labels: labels.clone(), value: cell.value() }).collect();
        Family { about: self.about, shape: Shape::Summary, labels: self.names.clone(), samples }
    }

    fn reset(&self) {
        for cell in self.cells.read().values() {
            cell.ages.iter().flat_map(|age| &age.bins).for_each(|bin| bin.store(0, Relaxed));
            cell.count.store(0, Relaxed);
            cell.nanoseconds.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::alpha;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_forgotten() {
        let clock = Clock::system();
        let summaries = Summaries::new(&Registry::new(), alpha("took", "Took."), &["of"], clock.clone());
        let summary = summaries.with(&["x"]);
        let told = || {
            let family = summaries.0.family();
            let Value::Summary { quantiles, count, .. } = &family.samples[0].value else { panic!("a summary") };
            let shown: Vec<String> = quantiles.iter().map(|(_, value)| format!("{:.3}", value * 1e3)).collect();
            format!("{count}: {}", shown.join(" "))
        };
        (1..=100).for_each(|ms| summary.took(Duration::from_millis(ms)));
        let (first, mut shown) = (told(), Vec::new());
        for hours in [4, 1, 3] {
            clock.sleep(Duration::from_secs(hours * 3600)).await;
            summary.took(Duration::from_millis(500));
            shown.push(told());
        }
        assert_eq!(first, "100: 49.282 88.753 99.836");
        assert_eq!(
            shown,
            ["101: 51.253 92.304 99.836", "102: 498.485 498.485 498.485", "103: 498.485 498.485 498.485"]
        );
    }
}
