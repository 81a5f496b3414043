//! The numbers that are counted: relaxed atomics, nothing else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::family::Value;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down. It is shown once it was set.
#[derive(Debug, Default)]
pub struct Gauge {
    bits: AtomicU64,
    is_set: AtomicBool,
}

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Relaxed);
        self.is_set.store(true, Relaxed);
    }

    /// It is this many now.
    #[allow(clippy::cast_precision_loss, reason = "what is counted stays far below 2^53")]
    pub fn set_count(&self, count: usize) {
        self.set(count as f64);
    }

    /// One more.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// One less.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// So much more.
    pub fn add(&self, more: f64) {
        add(&self.bits, more);
        if !self.is_set.load(Relaxed) {
            self.is_set.store(true, Relaxed);
        }
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Relaxed))
    }

    /// It is nothing that is shown any more.
    pub fn clear(&self) {
        self.is_set.store(false, Relaxed);
        self.bits.store(0, Relaxed);
    }
}

/// How many of what is measured fell below each of some bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: std::sync::Arc<[f64]>,
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: std::sync::Arc<[f64]>) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// This was measured.
    pub fn observe(&self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(1, Relaxed);
        add(&self.sum, value);
    }

    /// It took so long, in seconds.
    pub fn took(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// How often something was measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}

fn add(bits: &AtomicU64, more: f64) {
    let mut now = bits.load(Relaxed);
    while let Err(other) = bits.compare_exchange_weak(now, (f64::from_bits(now) + more).to_bits(), Relaxed, Relaxed) {
        now = other;
    }
}

/// What the families of all kinds of cells ask of them.
pub trait Cell: Send + Sync {
    /// Whether anything was counted.
    fn is_touched(&self) -> bool;
    /// What is shown.
    fn value(&self) -> Value;
    /// Begins anew; what says how things are now does not.
    fn reset(&self);
}

impl Cell for Counter {
    fn is_touched(&self) -> bool {
        self.get() > 0
    }

    #[allow(clippy::cast_precision_loss, reason = "Prometheus' numbers are floats")]
    fn value(&self) -> Value {
        Value::Number(self.get() as f64)
    }

    fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Cell for Gauge {
    fn is_touched(&self) -> bool {
        self.is_set.load(Relaxed)
    }

    fn value(&self) -> Value {
        Value::Number(self.get())
    }

    fn reset(&self) {}
}

impl Cell for Histogram {
    fn is_touched(&self) -> bool {
        self.count() > 0
    }

    fn value(&self) -> Value {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (bound, own) in self.bounds.iter().zip(&self.counts) {
            count += own.load(Relaxed);
            buckets.push((*bound, count));
        }
        count += self.counts[self.bounds.len()].load(Relaxed);
        Value::Histogram { buckets, sum: f64::from_bits(self.sum.load(Relaxed)), count }
    }

    fn reset(&self) {
        self.counts.iter().for_each(|count| count.store(0, Relaxed));
        self.sum.store(0, Relaxed);
    }
}
