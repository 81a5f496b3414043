//! How long admission took, plugin by plugin, under upstream's names.

use base::metrics::{Histogram, Histograms, Registry, Summaries, Summary, alpha, stable};
use base::{Clock, Instant};

use super::Operation;
use crate::metrics::Late;

const BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

const OPERATIONS: [Operation; 4] = [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];

/// The phases of admission, as metrics name them.
const PHASES: [&str; 2] = ["admit", "validate"];

/// Phase, operation, and whether the request was refused.
const CASES: usize = PHASES.len() * OPERATIONS.len() * 2;

type Cells<C> = [Late<C>; CASES];

/// The cells of all plugins.
#[derive(Debug)]
pub(super) struct Timings {
    pub(super) registry: Registry,
    clock: Clock,
    of_plugins: Histograms,
    of_steps: Histograms,
    of_summaries: Summaries,
    /// One a plugin.
    plugins: Box<[Cells<Histogram>]>,
    steps: Cells<Histogram>,
    summaries: Cells<Summary>,
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").finish_non_exhaustive()
    }
}

impl Timings {
    /// Those of so many plugins.
    pub(super) fn new(plugins: usize) -> Self {
        let (registry, clock) = (Registry::new(), Clock::system());
        let step = ["operation", "rejected", "type"];
        Self {
            of_plugins: registry.histograms(
                stable(
                    "apiserver_admission_controller_admission_duration_seconds",
                    "How long an admission plugin took, by its name.",
                ),
                &["name", "operation", "rejected", "type"],
                &BUCKETS,
            ),
            of_steps: registry.histograms(
                stable(
                    "apiserver_admission_step_admission_duration_seconds",
                    "How long all admission plugins together took.",
                ),
                &step,
                &BUCKETS,
            ),
            of_summaries: Summaries::new(
                &registry,
                alpha(
                    "apiserver_admission_step_admission_duration_seconds_summary",
                    "Quantiles of how long all admission plugins together took.",
                ),
                &step,
                clock.clone(),
            ),
            plugins: (0..plugins).map(|_| Cells::default()).collect(),
            steps: Cells::default(),
            summaries: Cells::default(),
            registry,
            clock,
        }
    }

    /// Begins a phase: the first is that of changes, the second that of checks.
    pub(super) fn step(&self, phase: usize, operation: Operation) -> Step<'_> {
        let operation = OPERATIONS.iter().position(|known| *known == operation).unwrap_or(0);
        let began = self.clock.instant();
        Step { timings: self, phase, operation, began, last: began }
    }
}

/// A phase under way.
pub(super) struct Step<'a> {
    timings: &'a Timings,
    phase: usize,
    operation: usize,
    began: Instant,
    last: Instant,
}

impl Step<'_> {
    /// The plugin at this place has decided.
    pub(super) fn plugin(&mut self, at: usize, name: &str, refused: bool) {
        let (timings, now) = (self.timings, self.timings.clock.instant());
        let took = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let cell = || {
            let [operation, rejected, phase] = self.labels(refused);
            timings.of_plugins.with(&[name, operation, rejected, phase])
        };
        if let Some(cells) = timings.plugins.get(at) {
            cells[self.case(refused)].get_or_init(cell).took(took);
        }
    }

    /// All have decided, or one has refused.
    pub(super) fn end(self, refused: bool) {
        let took = self.last.saturating_duration_since(self.began);
        let (timings, case, labels) = (self.timings, self.case(refused), self.labels(refused));
        timings.steps[case].get_or_init(|| timings.of_steps.with(&labels)).took(took);
        timings.summaries[case].get_or_init(|| timings.of_summaries.with(&labels)).took(took);
    }

    fn case(&self, refused: bool) -> usize {
        (self.phase * OPERATIONS.len() + self.operation) * 2 + usize::from(refused)
    }

    fn labels(&self, refused: bool) -> [&'static str; 3] {
        let rejected = if refused { "true" } else { "false" };
        [OPERATIONS[self.operation].word(), rejected, PHASES[self.phase]]
    }
}
