//! The pods that wait for a node: ready ones by priority and age, failed ones until their back-off is over, rejected
//! ones until something changes that may help them, gated ones until their gates are gone.
//!
//! Invariant: a pod is in exactly one of the places, or handed out ([`Queue::pop`]) until it is put back or removed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base::Instant;

use crate::change::Change;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::plugins;
use crate::pod::PodInfo;

/// So many changes are remembered for a pod that is being decided; after more it is tried again whatever they were.
const CHANGES_LIMIT: usize = 256;

type Key = Arc<str>;
/// Priority, then age, then name: the order in which ready pods are taken.
type Rank = (Reverse<i32>, u64, Key);

#[derive(Debug)]
struct Waiting {
    pod: Arc<PodInfo>,
    /// Numbers of arrival: who came first goes first among equals.
    arrival: u64,
    attempts: u32,
    first_tried: Option<Instant>,
    place: Place,
}

impl Waiting {
    fn rank(&self) -> Rank {
        (Reverse(self.pod.priority()), self.arrival, self.pod.key.clone())
    }
}

#[derive(Debug, Clone)]
enum Place {
    Gated,
    Ready,
    BackingOff(Instant),
    Rejected {
        plugins: BTreeSet<&'static str>,
        since: Instant,
        backoff_until: Instant,
    },
    /// Being scheduled; `changes` came meanwhile.
    HandedOut {
        changes: Vec<Change>,
    },
}

/// A pod to be decided.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// When it was first tried.
    pub first_tried: Instant,
}

/// How long pods wait.
#[derive(Debug, Clone, Copy)]
struct Waits {
    first: Duration,
    longest: Duration,
    rejection: Duration,
}

impl Waits {
    fn backoff(self, attempts: u32) -> Duration {
        self.first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(self.longest)
    }
}

/// The waiting pods.
pub struct Queue {
    waits: Waits,
    metrics: Arc<Metrics>,
    pods: HashMap<Key, Waiting>,
    ready: BTreeSet<Rank>,
    rejected: HashSet<Key>,
    /// How many rejected pods wait for each plugin, by the scheduler's name.
    blocked: BTreeMap<(&'static str, String), usize>,
    gated: HashSet<Key>,
    handed_out: HashSet<Key>,
    /// Pods that back off but may be tried before their time when nobody else is ready (KEP-5142).
    early: BTreeSet<(Instant, Key)>,
    deadlines: BTreeMap<Instant, BTreeSet<Key>>,
    arrivals: u64,
}

impl Queue {
    /// A queue without pods.
    #[must_use]
    pub fn new(settings: &Settings, metrics: Arc<Metrics>) -> Self {
        let (first, longest) = (settings.first_backoff, settings.longest_backoff);
        Self {
            waits: Waits { first, longest, rejection: settings.longest_rejection },
            metrics,
            pods: HashMap::new(),
            ready: BTreeSet::new(),
            rejected: HashSet::new(),
            blocked: BTreeMap::new(),
            gated: HashSet::new(),
            handed_out: HashSet::new(),
            early: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// Takes in a pod without a node, or its new state.
    pub fn put(&mut self, pod: Arc<PodInfo>, gated: bool, now: Instant) {
        let key = pod.key.clone();
        let Some(known) = self.pods.get_mut(&key) else {
            self.arrivals += 1;
            let place = if gated { Place::Gated } else { Place::Ready };
            let waiting = Waiting { pod, arrival: self.arrivals, attempts: 0, first_tried: None, place };
            self.pods.insert(key.clone(), waiting);
            self.metrics.queued(if gated { "gated" } else { "active" }, "UnscheduledPodAdd");
            if gated {
                self.gated.insert(key);
            } else {
                self.make_ready(&key);
            }
            return;
        };
        let old_rank = known.rank();
        let same = asks_the_same(&known.pod, &pod);
        known.pod = pod;
        match &mut known.place {
            Place::HandedOut { .. } | Place::Rejected { .. } if same => {}
            Place::HandedOut { changes } => changes.push(Change::PodUpdated),
            Place::Gated if gated => {}
            Place::Gated => {
                self.metrics.queued("active", "UnscheduledPodUpdate");
                self.gated.remove(&key);
                self.make_ready(&key);
            }
            Place::Ready => {
                // Its priority may have changed.
                self.ready.remove(&old_rank);
                self.make_ready(&key);
            }
            Place::Rejected { .. } => self.wake(&key, "UnscheduledPodUpdate", now),
            Place::BackingOff(_) => {}
        }
    }

    /// Forgets a pod: it has a node, or it is gone.
    pub fn remove(&mut self, key: &str) {
        let Some((known, _)) = self.pods.get_key_value(key) else { return };
        let known = known.clone();
        if self.rejected.contains(&known) {
            self.count_rejected(&known, false);
        }
        let Some(waiting) = self.pods.remove(key) else { return };
        match &waiting.place {
            Place::Gated => drop(self.gated.remove(key)),
            Place::Ready => drop(self.ready.remove(&waiting.rank())),
            Place::BackingOff(until) => {
                self.early.remove(&(*until, waiting.pod.key.clone()));
                self.forget_deadline(*until, key);
            }
            Place::Rejected { since, .. } => self.forget_deadline(*since + self.waits.rejection, key),
            Place::HandedOut { .. } => drop(self.handed_out.remove(key)),
        }
    }

    /// Hands out the pod to schedule next.
    pub fn pop(&mut self, now: Instant) -> Option<Attempt> {
        let key = match self.ready.pop_first() {
            Some((_, _, key)) => key,
            None => {
                let (until, key) = self.early.pop_first()?;
                self.forget_deadline(until, &key);
                key
            }
        };
        let waiting = self.pods.get_mut(&key)?;
        waiting.attempts += 1;
        waiting.place = Place::HandedOut { changes: Vec::new() };
        let first_tried = *waiting.first_tried.get_or_insert(now);
        self.handed_out.insert(key);
        Some(Attempt { pod: waiting.pod.clone(), attempts: waiting.attempts, first_tried })
    }

    /// Puts back a pod that no node takes; `plugins` rejected it. Without any, every change may help.
    pub fn rejected(&mut self, key: &str, plugins: BTreeSet<&'static str>, now: Instant) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        let Place::HandedOut { changes } = &waiting.place else { return };
        let backoff_until = now + self.waits.backoff(waiting.attempts);
        let many = changes.len() > CHANGES_LIMIT;
        let helped = many || changes.iter().any(|change| helps(change, &waiting.pod, &plugins));
        waiting.place = Place::Rejected { plugins, since: now, backoff_until };
        let key = waiting.pod.key.clone();
        self.handed_out.remove(&key);
        self.count_rejected(&key, true);
        self.metrics.queued("unschedulable", "ScheduleAttemptFailure");
        self.deadlines.entry(now + self.waits.rejection).or_default().insert(key.clone());
        if helped {
            self.wake(&key, "ScheduleAttemptFailure", now);
        }
    }

    /// Puts back a pod whose attempt failed for no fault of the cluster's (a conflict, a lost connection).
    pub fn failed(&mut self, key: &str, now: Instant) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        if !matches!(waiting.place, Place::HandedOut { .. }) {
            return;
        }
        let until = now + self.waits.backoff(waiting.attempts);
        waiting.place = Place::BackingOff(until);
        let key = waiting.pod.key.clone();
        self.handed_out.remove(&key);
        self.metrics.queued("backoff", "ScheduleAttemptFailure");
        self.deadlines.entry(until).or_default().insert(key);
    }

    /// Something changed: rejected pods that it may help are tried again, after their back-off.
    pub fn changed(&mut self, change: &Change, now: Instant) {
        let mut helped = Vec::new();
        for key in &self.rejected {
            if let Some(Waiting { place: Place::Rejected { plugins, .. }, pod, .. }) = self.pods.get(key)
                && helps(change, pod, plugins)
            {
                helped.push(key.clone());
            }
        }
        // Pods of one moment wake in their order, whatever the hash.
        helped.sort();
        helped.iter().for_each(|key| self.wake(key, change.event(), now));
        for key in &self.handed_out {
            if let Some(Waiting { place: Place::HandedOut { changes }, .. }) = self.pods.get_mut(key)
                && changes.len() <= CHANGES_LIMIT
            {
                changes.push(change.clone());
            }
        }
    }

    /// Makes ready whose wait is over.
    pub fn advance(&mut self, now: Instant) {
        while let Some(entry) = self.deadlines.first_entry()
            && *entry.key() <= now
        {
            for key in entry.remove() {
                match self.pods.get(&key).map(|waiting| waiting.place.clone()) {
                    Some(Place::BackingOff(until)) if until <= now => {
                        self.early.remove(&(until, key.clone()));
                        self.metrics.queued("active", "BackoffComplete");
                        self.make_ready(&key);
                    }
                    Some(Place::Rejected { since, .. }) if since + self.waits.rejection <= now => {
                        self.count_rejected(&key, false);
                        self.metrics.queued("active", "UnschedulableTimeout");
                        self.make_ready(&key);
                    }
                    _ => {}
                }
            }
        }
    }

    /// When [`Queue::advance`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|(at, _)| *at)
    }

    /// Whether [`Queue::pop`] has a pod.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.early.is_empty()
    }

    /// How many pods are ready, back off, were rejected, are gated.
    #[must_use]
    pub fn sizes(&self) -> [usize; 4] {
        let [ready, rejected, gated] = [self.ready.len(), self.rejected.len(), self.gated.len()];
        let others = ready + rejected + gated + self.handed_out.len();
        [ready, self.pods.len().saturating_sub(others), rejected, gated]
    }

    /// How many rejected pods wait for each plugin, by the scheduler's name.
    #[must_use]
    pub fn blocked(&self) -> &BTreeMap<(&'static str, String), usize> {
        &self.blocked
    }

    /// Counts a pod among the rejected (`true`), or no longer.
    fn count_rejected(&mut self, key: &Key, rejected: bool) {
        let changed = if rejected { self.rejected.insert(key.clone()) } else { self.rejected.remove(key) };
        let Some(Waiting { place: Place::Rejected { plugins, .. }, pod, .. }) = self.pods.get(key) else { return };
        let scheduler = pod.spec().scheduler_name.clone().unwrap_or_default();
        for plugin in plugins.iter().filter(|_| changed) {
            let count = self.blocked.entry((plugin, scheduler.clone())).or_default();
            *count = if rejected { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// A rejected pod may fit now: it is ready once its back-off is over, or when nobody else is.
    fn wake(&mut self, key: &Key, event: &'static str, now: Instant) {
        let Some(Waiting { place: Place::Rejected { since, backoff_until, .. }, .. }) = self.pods.get(key) else {
            return;
        };
        let (since, backoff_until) = (*since, *backoff_until);
        self.count_rejected(key, false);
        let rejection = since + self.waits.rejection;
        if backoff_until <= now {
            self.forget_deadline(rejection, key);
            self.metrics.queued("active", event);
            self.make_ready(key);
            return;
        }
        if let Some(waiting) = self.pods.get_mut(key) {
            waiting.place = Place::BackingOff(backoff_until);
        }
        self.forget_deadline(rejection, key);
        self.metrics.queued("backoff", event);
        self.early.insert((backoff_until, key.clone()));
        self.deadlines.entry(backoff_until).or_default().insert(key.clone());
    }

    fn make_ready(&mut self, key: &Key) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        waiting.place = Place::Ready;
        self.ready.insert(waiting.rank());
    }

    fn forget_deadline(&mut self, at: Instant, key: &str) {
        if let Some(keys) = self.deadlines.get_mut(&at) {
            keys.remove(key);
            if keys.is_empty() {
                self.deadlines.remove(&at);
            }
        }
    }
}

/// Whether only what the server and others write about a pod changed, such as its status, and nothing that it asks for.
fn asks_the_same(old: &PodInfo, new: &PodInfo) -> bool {
    let (before, now) = (&old.pod.metadata, &new.pod.metadata);
    old.pod.spec == new.pod.spec
        && before.uid == now.uid
        && before.labels == now.labels
        && before.annotations == now.annotations
        && before.owner_references == now.owner_references
}

/// Whether a change may help a pod that these plugins rejected.
fn helps(change: &Change, pod: &PodInfo, rejecting: &BTreeSet<&'static str>) -> bool {
    let asked = |name: &&str| plugins::find(name).is_some_and(|plugin| (plugin.helps)(pod, change));
    rejecting.is_empty() || rejecting.iter().any(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{labelled, named, pod_in};

    fn queue() -> (Queue, base::Clock) {
        (Queue::new(&Settings::default(), Arc::new(Metrics::new())), base::Clock::system())
    }

    fn with_priority(name: &str, priority: i32) -> Arc<PodInfo> {
        named(name, &format!(r#"{{"containers":[],"priority":{priority}}}"#))
    }

    fn left() -> Change {
        Change::PodLeft(named("q", r#"{"containers":[]}"#))
    }

    fn taken(queue: &mut Queue, clock: &base::Clock) -> String {
        queue.pop(clock.instant()).map_or_else(|| "-".to_owned(), |attempt| attempt.pod.key.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn priority_then_age() {
        let (mut queue, clock) = queue();
        for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
            queue.put(with_priority(name, priority), false, clock.instant());
        }
        queue.put(with_priority("c", 9), false, clock.instant());
        queue.remove("a/d");
        assert_eq!([(); 4].map(|()| taken(&mut queue, &clock)), ["a/c", "a/b", "a/a", "-"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_helpful_change_wakes() {
        let (mut queue, clock) = queue();
        queue.put(with_priority("a", 0), false, clock.instant());
        taken(&mut queue, &clock);
        queue.rejected("a/a", BTreeSet::from(["NodeResourcesFit"]), clock.instant());
        queue.changed(&Change::Volume, clock.instant());
        assert_eq!(queue.sizes(), [0, 0, 1, 0]);
        queue.changed(&left(), clock.instant());
        assert_eq!(queue.sizes(), [0, 1, 0, 0]);
        // Somebody else is ready: the woken pod waits for its time.
        queue.put(with_priority("b", 0), false, clock.instant());
        assert_eq!(taken(&mut queue, &clock), "a/b");
        // Nobody is: it is tried at once.
        assert_eq!(taken(&mut queue, &clock), "a/a");
        assert_eq!(queue.next_deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_status_wakes_nobody() {
        let (mut queue, clock) = queue();
        queue.put(with_priority("a", 0), false, clock.instant());
        taken(&mut queue, &clock);
        queue.rejected("a/a", BTreeSet::from(["NodeResourcesFit"]), clock.instant());
        queue.put(with_priority("a", 0), false, clock.instant());
        assert_eq!(queue.sizes(), [0, 0, 1, 0]);
        queue.put(with_priority("a", 1), false, clock.instant());
        assert_eq!(queue.sizes(), [0, 1, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_the_attempt_is_not_lost() {
        let (mut queue, clock) = queue();
        queue.put(with_priority("a", 0), false, clock.instant());
        taken(&mut queue, &clock);
        queue.changed(&Change::NodeAdded(labelled("n", serde_json::json!({}))), clock.instant());
        queue.rejected("a/a", BTreeSet::from(["NodeName"]), clock.instant());
        assert_eq!(queue.sizes(), [0, 1, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_back_off_doubles() {
        let (mut queue, clock) = queue();
        queue.put(with_priority("a", 0), false, clock.instant());
        for expected in [300, 300] {
            taken(&mut queue, &clock);
            queue.rejected("a/a", BTreeSet::from(["NodeName"]), clock.instant());
            let wait = queue.next_deadline().unwrap() - clock.instant();
            assert_eq!(wait.as_secs(), expected);
            clock.sleep(wait).await;
            queue.advance(clock.instant());
        }
        let waits = queue.waits;
        assert_eq!((1..7).map(|n| waits.backoff(n).as_secs()).collect::<Vec<_>>(), [1, 2, 4, 8, 10, 10]);
        queue.pop(clock.instant());
        queue.failed("a/a", clock.instant());
        assert!(!queue.has_ready(), "a failed attempt waits its time out");
    }

    #[tokio::test(start_paused = true)]
    async fn gated_pods_wait_for_their_gates() {
        let (mut queue, clock) = queue();
        let pod = pod_in("a", "g", serde_json::json!({}), r#"{"containers":[]}"#);
        queue.put(pod.clone(), true, clock.instant());
        queue.changed(&left(), clock.instant());
        assert_eq!((taken(&mut queue, &clock), queue.sizes()), ("-".to_owned(), [0, 0, 0, 1]));
        queue.put(pod, false, clock.instant());
        assert_eq!(taken(&mut queue, &clock), "a/g");
    }
}
