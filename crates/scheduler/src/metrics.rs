//! What the scheduler counts, under the names of kube-scheduler.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};

/// Attempts are told apart up to this many.
const ATTEMPTS_LIMIT: u32 = 15;

/// Counters of one process.
pub struct Metrics {
    registry: Registry,
    attempts: IntCounterVec,
    attempt_seconds: HistogramVec,
    algorithm_seconds: Histogram,
    sli_seconds: HistogramVec,
    attempts_of_pod: Histogram,
    preemptions: IntCounter,
    victims: Histogram,
    pending: IntGaugeVec,
    incoming: IntCounterVec,
    unschedulable: IntGaugeVec,
    cache: IntGaugeVec,
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
        let made = Self::make(&registry);
        made.expect("names and buckets are constants")
    }

    fn make(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        let histograms = |name: &str, help: &str, buckets: (f64, usize), labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(exponential_buckets(buckets.0, 2.0, buckets.1)?);
            let made = HistogramVec::new(options, labels)?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        let one = |name: &str, help: &str, buckets| {
            Ok::<_, prometheus::Error>(histograms(name, help, buckets, &[])?.with_label_values::<&str>(&[]))
        };
        let preemptions = IntCounter::new("scheduler_preemption_attempts_total", "Searches for room to be made")?;
        registry.register(Box::new(preemptions.clone()))?;
        Ok(Self {
            attempts: counters("scheduler_schedule_attempts_total", "Decisions by result", &["result", "profile"])?,
            attempt_seconds: histograms(
                "scheduler_scheduling_attempt_duration_seconds",
                "Time of a decision and its binding",
                (0.001, 15),
                &["result", "profile"],
            )?,
            algorithm_seconds: one(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Time of a decision",
                (0.001, 15),
            )?,
            sli_seconds: histograms(
                "scheduler_pod_scheduling_sli_duration_seconds",
                "Time from a pod's first attempt to its node",
                (0.01, 20),
                &["attempts"],
            )?,
            attempts_of_pod: one("scheduler_pod_scheduling_attempts", "Attempts that placed pods needed", (1.0, 5))?,
            preemptions,
            victims: one("scheduler_preemption_victims", "Pods taken away for another", (1.0, 7))?,
            pending: gauges("scheduler_pending_pods", "Waiting pods by place", &["queue"])?,
            incoming: counters(
                "scheduler_queue_incoming_pods_total",
                "Pods put in a place, by cause",
                &["queue", "event"],
            )?,
            unschedulable: gauges("scheduler_unschedulable_pods", "Rejected pods by plugin", &["plugin", "profile"])?,
            cache: gauges("scheduler_cache_size", "What the snapshot holds", &["type"])?,
            registry: registry.clone(),
        })
    }

    /// A pod was put in a place of the queue.
    pub fn queued(&self, queue: &str, event: &str) {
        self.incoming.with_label_values(&[queue, event]).inc();
    }

    /// A decision was made.
    pub fn decided(&self, took: Duration) {
        self.algorithm_seconds.observe(took.as_secs_f64());
    }

    /// An attempt ended.
    pub fn ended(&self, how: Ended, profile: &str, took: Duration) {
        self.attempts.with_label_values(&[how.name(), profile]).inc();
        self.attempt_seconds.with_label_values(&[how.name(), profile]).observe(took.as_secs_f64());
    }

    /// A pod got its node after so many attempts and so long.
    pub fn placed(&self, attempts: u32, took: Duration) {
        let label = if attempts >= ATTEMPTS_LIMIT { format!("{ATTEMPTS_LIMIT}+") } else { attempts.to_string() };
        self.sli_seconds.with_label_values(&[label.as_str()]).observe(took.as_secs_f64());
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
            self.pending.with_label_values(&[queue]).set(number(size));
        }
        for ((plugin, profile), pods) in blocked {
            self.unschedulable.with_label_values(&[*plugin, profile.as_str()]).set(number(*pods));
        }
    }

    /// How much the snapshot holds.
    pub fn holds(&self, nodes: usize, pods: usize, assumed: usize) {
        for (kind, size) in [("nodes", nodes), ("pods", pods), ("assumed_pods", assumed)] {
            self.cache.with_label_values(&[kind]).set(number(size));
        }
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "the metrics cannot be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn number(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        let metrics = Metrics::new();
        metrics.ended(Ended::Scheduled, "default-scheduler", Duration::from_millis(1));
        metrics.placed(20, Duration::from_secs(1));
        metrics.waiting([1, 2, 3, 4], &[(("NodeName", "default-scheduler".to_owned()), 3)].into());
        let text = metrics.text();
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
