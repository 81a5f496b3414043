//! What a process counts and how that is told: families of cells, in the text that Prometheus reads.
//!
//! A cell is a few atomic numbers. Who counts often asks for its cell once and keeps it; counting is then an addition
//! and takes no lock. A family has a stability level, which stands before its help (KEP-1209).

mod cell;
mod exposition;
mod family;
mod process;
mod registry;
mod summary;
mod text;

pub use cell::{Counter, Gauge, Histogram};
pub use exposition::{Exposition, Wanted};
pub use family::{About, Family, Sample, Shape, Stability, Value, alpha, beta, stable};
pub use process::{start_time, with_process};
pub use registry::{Collect, Counters, Gauges, Histograms, Registry};
pub use summary::{Summaries, Summary};
pub use text::number;

/// So many buckets: the first ends at `first`, each next one at `factor` times as much.
#[must_use]
pub fn exponential(first: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(first), |bound| Some(bound * factor)).take(count).collect()
}

/// The buckets of Prometheus' libraries where none are chosen, in seconds.
pub const DEFAULT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
