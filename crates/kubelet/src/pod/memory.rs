//! What the kubelet remembers of a pod that the runtime cannot tell: probe results, failures, back-off. Lost with a
//! restart of the kubelet, and then found out again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::observed::Observed;

/// The first wait of a container that keeps ending, and the longest (KEP-4603 has not changed the defaults).
const CRASH_FIRST: SignedDuration = SignedDuration::from_secs(10);
const CRASH_LIMIT: SignedDuration = SignedDuration::from_mins(5);

/// One pod's memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Probe results by the runtime's container id.
    pub probes: BTreeMap<String, Probed>,
    /// Why a container does not run, by its name.
    pub waiting: BTreeMap<String, Waiting>,
    /// Crash back-off by container name and hash.
    pub crashes: BackOff,
    /// When to try again to make a sandbox.
    pub sandbox_retry: Option<Timestamp>,
    /// Runs whose last words are known, by id.
    pub last_words: BTreeMap<String, String>,
    /// Runs that were told to stop, by id.
    pub stopping: BTreeSet<String>,
    /// Runs whose postStart hook has not ended, by id.
    pub starting: BTreeSet<String>,
    /// The pod ends: since when, with how much grace.
    pub termination: Option<Termination>,
    /// The kubelet ended the pod by itself: reason and message of its Failed phase.
    pub failed: Option<(String, String)>,
}

impl Memory {
    /// Takes the probes' earlier verdicts about runs that still run from the pod's status.
    pub fn recall(&mut self, pod: &Pod, observed: &Observed) {
        let Some(status) = &pod.status else { return };
        let statuses = [&status.init_container_statuses, &status.container_statuses];
        for status in statuses.into_iter().flatten().flatten() {
            let id = status.container_id.as_deref().and_then(|id| id.split_once("://")).map(|(_, id)| id);
            let Some(run) = observed.alive().find(|run| Some(run.id.as_str()) == id) else { continue };
            let probed = self.probes.entry(run.id.clone()).or_default();
            probed.startup = status.started.filter(|started| *started);
            probed.readiness = Some(status.ready);
        }
    }
}

/// What the probes of one run say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probed {
    /// The startup probe: `None` before it has decided.
    pub startup: Option<bool>,
    /// The readiness probe.
    pub readiness: Option<bool>,
    /// The liveness probe.
    pub liveness: Option<bool>,
}

/// Why a container does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `ErrImagePull`, `CrashLoopBackOff`, …
    pub reason: String,
    /// In words.
    pub message: String,
    /// When to try again.
    pub retry: Timestamp,
}

/// A pod on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Termination {
    /// Since when.
    pub since: Timestamp,
    /// Until it is killed.
    pub grace_seconds: i64,
}

/// Doubling waits by key. Forgotten when a run lasted twice the longest wait.
#[derive(Debug, Clone, Default)]
pub struct BackOff(BTreeMap<String, (SignedDuration, Timestamp)>);

impl BackOff {
    /// How long a container that ended at `finished` has to rest; zero for none.
    #[must_use]
    pub fn rest(&self, key: &str, finished: Timestamp) -> SignedDuration {
        match self.0.get(key) {
            Some((delay, updated)) if !expired(finished, *updated) => *delay,
            _ => SignedDuration::ZERO,
        }
    }

    /// Counts a start after an end at `finished`.
    pub fn count(&mut self, key: String, finished: Timestamp, now: Timestamp) {
        let next = match self.0.get(&key) {
            Some((delay, updated)) if !expired(finished, *updated) => (*delay + *delay).min(CRASH_LIMIT),
            _ => CRASH_FIRST,
        };
        self.0.insert(key, (next, now));
    }
}

fn expired(finished: Timestamp, updated: Timestamp) -> bool {
    finished.duration_since(updated) > CRASH_LIMIT + CRASH_LIMIT
}

/// A duration as Go prints it: `10s`, `1m20s`, `5m0s`.
#[must_use]
pub fn go_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crashing_container_rests_longer_each_time() {
        let mut back_off = BackOff::default();
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let finished = now;
            let rest = back_off.rest("a", finished);
            waits.push(go_duration(rest));
            now = finished + rest;
            back_off.count("a".into(), finished, now);
        }
        assert_eq!(waits, ["0s", "10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
        now += SignedDuration::from_secs(601);
        assert_eq!(back_off.rest("a", now), SignedDuration::ZERO, "it ran for more than ten minutes");
    }
}
