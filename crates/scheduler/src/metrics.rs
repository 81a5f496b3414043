//! What the scheduler counts, under the names of kube-scheduler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::metrics::{Counter, Counters, Gauges, Histogram, Histograms, Registry, alpha, beta, exponential, stable};

use crate::cycle::Point;

/// Attempts are told apart up to this many.
const ATTEMPTS_LIMIT: u32 = 15;

/// Counters of one process.
pub struct Metrics {
    registry: Registry,
    attempts: Counters,
    attempt_seconds: Histograms,
    algorithm_seconds: Arc<Histogram>,
    point_seconds: Histograms,
    sli_seconds: Histograms,
    attempts_of_pod: Arc<Histogram>,
    preemptions: Arc<Counter>,
    victims: Arc<Histogram>,
    pending: Gauges,
    incoming: Counters,
    unschedulable: Gauges,
    cache: Gauges,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The pod has a node.
    Scheduled,
    /// No node takes it.
    Unschedulable,
    /// Something went wrong.
    Error,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Error => "error",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        Self {
            attempts: all
                .counters(stable("scheduler_schedule_attempts_total", "Decisions, by result."), &["result", "profile"]),
            attempt_seconds: all.histograms(
                stable("scheduler_scheduling_attempt_duration_seconds", "Time of a decision and its binding."),
                &["result", "profile"],
                &exponential(0.001, 2.0, 15),
            ),
            algorithm_seconds: all.histogram(
                alpha("scheduler_scheduling_algorithm_duration_seconds", "Time of a decision."),
                &exponential(0.001, 2.0, 15),
            ),
            point_seconds: all.histograms(
                stable("scheduler_framework_extension_point_duration_seconds", "Time of a part of a decision."),
                &["extension_point", "status", "profile"],
                &exponential(0.0001, 2.0, 12),
            ),
            sli_seconds: all.histograms(
                beta("scheduler_pod_scheduling_sli_duration_seconds", "Time from a pod's first attempt to its node."),
                &["attempts"],
                &exponential(0.01, 2.0, 20),
            ),
            attempts_of_pod: all.histogram(
                stable("scheduler_pod_scheduling_attempts", "Attempts that placed pods needed."),
                &exponential(1.0, 2.0, 5),
            ),
            preemptions: all.counter(stable("scheduler_preemption_attempts_total", "Searches for room to be made.")),
            victims: all.histogram(
                stable("scheduler_preemption_victims", "Pods taken away for another."),
                &exponential(1.0, 2.0, 7),
            ),
            pending: all.gauges(stable("scheduler_pending_pods", "Waiting pods, by place."), &["queue"]),
            incoming: all.counters(
                stable("scheduler_queue_incoming_pods_total", "Pods put in a place, by cause."),
                &["queue", "event"],
            ),
            unschedulable: all
                .gauges(alpha("scheduler_unschedulable_pods", "Rejected pods, by plugin."), &["plugin", "profile"]),
            cache: all.gauges(alpha("scheduler_cache_size", "What the snapshot holds."), &["type"]),
            registry,
        }
    }

    /// A pod was put in a place of the queue.
    pub fn queued(&self, queue: &str, event: &str) {
        self.incoming.with(&[queue, event]).inc();
    }

    /// A decision was made.
    pub fn decided(&self, took: Duration) {
        self.algorithm_seconds.observe(took.as_secs_f64());
    }

    /// A part of a decision was made.
    pub fn passed(&self, point: Point, success: bool, profile: &str, took: Duration) {
        let point = match point {
            Point::PreFilter => "PreFilter",
            Point::Filter => "Filter",
            Point::Score => "Score",
        };
        let status = if success { "Success" } else { "Unschedulable" };
        self.point_seconds.with(&[point, status, profile]).took(took);
    }

    /// An attempt ended.
    pub fn ended(&self, how: Ended, profile: &str, took: Duration) {
        self.attempts.with(&[how.name(), profile]).inc();
        self.attempt_seconds.with(&[how.name(), profile]).observe(took.as_secs_f64());
    }

    /// A pod got its node after so many attempts and so long.
    pub fn placed(&self, attempts: u32, took: Duration) {
        let label = if attempts >= ATTEMPTS_LIMIT { format!("{ATTEMPTS_LIMIT}+") } else { attempts.to_string() };
        self.sli_seconds.with(&[label.as_str()]).observe(took.as_secs_f64());
        self.attempts_of_pod.observe(attempts.into());
    }

    /// Room was looked for.
    pub fn preempting(&self) {
        self.preemptions.inc();
    }

    /// So many pods go.
    pub fn took_away(&self, victims: usize) {
        self.victims.observe(f64::from(u32::try_from(victims).unwrap_or(u32::MAX)));
    }

    /// How many pods wait: ready, backing off, rejected, gated; and for whom they wait.
    pub fn waiting(&self, sizes: [usize; 4], blocked: &BTreeMap<(&'static str, String), usize>) {
        for (queue, size) in ["active", "backoff", "unschedulable", "gated"].into_iter().zip(sizes) {
            self.pending.with(&[queue]).set_count(size);
        }
        for ((plugin, profile), pods) in blocked {
            self.unschedulable.with(&[*plugin, profile.as_str()]).set_count(*pods);
        }
    }

    /// How much the snapshot holds.
    pub fn holds(&self, nodes: usize, pods: usize, assumed: usize) {
        for (kind, size) in [("nodes", nodes), ("pods", pods), ("assumed_pods", assumed)] {
            self.cache.with(&[kind]).set_count(size);
        }
    }

    /// All families.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }
}

#[cfg(test)]
mod tests {
    use base::metrics::{Exposition, Wanted};

    use super::*;

    #[test]
    fn names_are_upstreams() {
        let metrics = Metrics::new();
        metrics.ended(Ended::Scheduled, "default-scheduler", Duration::from_millis(1));
        metrics.placed(20, Duration::from_secs(1));
        metrics.waiting([1, 2, 3, 4], &[(("NodeName", "default-scheduler".to_owned()), 3)].into());
        let told = Exposition::of(metrics.registry().gather(), Wanted::default());
        let text = String::from_utf8(told.body).unwrap();
        for line in [
            r#"scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1"#,
            r#"scheduler_pod_scheduling_sli_duration_seconds_count{attempts="15+"} 1"#,
            r#"scheduler_pending_pods{queue="gated"} 4"#,
            r#"scheduler_unschedulable_pods{plugin="NodeName",profile="default-scheduler"} 3"#,
            "scheduler_preemption_attempts_total 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
