//! The pods that wait for a node: ready ones by priority and age, failed ones until their back-off is over, rejected
//! ones until something changes that may help them.
//!
//! Invariant: a pod is in exactly one of the three places, or handed out ([`Queue::pop`]) until it is put back or done.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::Instant;

use crate::plugins::{self, Change};
use crate::snapshot::PodInfo;

/// The first wait after a failed attempt (`podInitialBackoffSeconds`).
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// No wait after a failed attempt is longer (`podMaxBackoffSeconds`).
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A rejected pod is tried again after so long whatever happens.
const LONGEST_REJECTION: Duration = Duration::from_secs(300);

/// Priority, then age, then name: the order in which ready pods are taken.
type Rank = (Reverse<i32>, u64, String);

#[derive(Debug)]
struct Waiting {
    pod: Arc<PodInfo>,
    /// Numbers of arrival: who came first goes first among equals.
    arrival: u64,
    attempts: u32,
    place: Place,
}

impl Waiting {
    fn rank(&self, key: &str) -> Rank {
        (Reverse(self.pod.priority()), self.arrival, key.to_owned())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
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

/// The waiting pods.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<String, Waiting>,
    ready: BTreeSet<Rank>,
    deadlines: BTreeMap<Instant, BTreeSet<String>>,
    arrivals: u64,
}

impl Queue {
    /// Takes in a pod without a node, or its new state.
    pub fn put(&mut self, key: &str, pod: Arc<PodInfo>) {
        if let Some(known) = self.pods.get_mut(key) {
            let old_rank = known.rank(key);
            known.pod = pod;
            match &mut known.place {
                Place::HandedOut { changes } => changes.push(Change::PodUpdated),
                Place::Ready => {
                    // Its priority may have changed.
                    self.ready.remove(&old_rank);
                    self.make_ready(key);
                }
                Place::Rejected { .. } => self.wake(key),
                Place::BackingOff(_) => {}
            }
            return;
        }
        self.arrivals += 1;
        let waiting = Waiting { pod, arrival: self.arrivals, attempts: 0, place: Place::Ready };
        self.pods.insert(key.to_owned(), waiting);
        self.make_ready(key);
    }

    /// Forgets a pod: it has a node, or it is gone.
    pub fn remove(&mut self, key: &str) {
        let Some(waiting) = self.pods.remove(key) else { return };
        match waiting.place {
            Place::Ready => drop(self.ready.remove(&waiting.rank(key))),
            Place::BackingOff(until) => self.forget_deadline(until, key),
            Place::Rejected { since, .. } => self.forget_deadline(since + LONGEST_REJECTION, key),
            Place::HandedOut { .. } => {}
        }
    }

    /// Hands out the pod to schedule next.
    pub fn pop(&mut self) -> Option<(String, Arc<PodInfo>)> {
        let (_, _, key) = self.ready.pop_first()?;
        let waiting = self.pods.get_mut(&key)?;
        waiting.attempts += 1;
        waiting.place = Place::HandedOut { changes: Vec::new() };
        Some((key, waiting.pod.clone()))
    }

    /// Puts back a pod that no node takes; `plugins` rejected it.
    pub fn rejected(&mut self, key: &str, plugins: BTreeSet<&'static str>, now: Instant) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        let backoff_until = now + backoff(waiting.attempts);
        let Place::HandedOut { changes } = &waiting.place else { return };
        let helped = changes.iter().any(|change| helps(*change, &plugins));
        waiting.place = Place::Rejected { plugins, since: now, backoff_until };
        self.deadlines.entry(now + LONGEST_REJECTION).or_default().insert(key.to_owned());
        if helped {
            self.wake(key);
        }
    }

    /// Puts back a pod whose attempt failed for no fault of the cluster's (a conflict, a lost connection).
    pub fn failed(&mut self, key: &str, now: Instant) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        let until = now + backoff(waiting.attempts);
        waiting.place = Place::BackingOff(until);
        self.deadlines.entry(until).or_default().insert(key.to_owned());
    }

    /// Something changed: rejected pods that it may help are tried again, after their back-off.
    pub fn changed(&mut self, change: Change) {
        let mut helped = Vec::new();
        for (key, waiting) in &mut self.pods {
            match &mut waiting.place {
                Place::Rejected { plugins, .. } if helps(change, plugins) => helped.push(key.clone()),
                Place::HandedOut { changes } if !changes.contains(&change) => changes.push(change),
                _ => {}
            }
        }
        helped.iter().for_each(|key| self.wake(key));
    }

    /// Makes ready whose wait is over.
    pub fn advance(&mut self, now: Instant) {
        while let Some(entry) = self.deadlines.first_entry()
            && *entry.key() <= now
        {
            for key in entry.remove() {
                let over = match self.pods.get(&key).map(|waiting| &waiting.place) {
                    Some(Place::BackingOff(until)) => *until <= now,
                    Some(Place::Rejected { since, .. }) => *since + LONGEST_REJECTION <= now,
                    _ => false,
                };
                if over {
                    self.make_ready(&key);
                }
            }
        }
    }

    /// When [`Queue::advance`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|(at, _)| *at)
    }

    /// How many pods are ready, back off, were rejected.
    #[must_use]
    pub fn sizes(&self) -> [usize; 3] {
        let count = |test: fn(&Place) -> bool| self.pods.values().filter(|w| test(&w.place)).count();
        [
            self.ready.len(),
            count(|place| matches!(place, Place::BackingOff(_))),
            count(|place| matches!(place, Place::Rejected { .. })),
        ]
    }

    /// A rejected pod may fit now: it is ready once its back-off is over.
    fn wake(&mut self, key: &str) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        let Place::Rejected { since, backoff_until, .. } = waiting.place else { return };
        waiting.place = Place::BackingOff(backoff_until);
        self.forget_deadline(since + LONGEST_REJECTION, key);
        self.deadlines.entry(backoff_until).or_default().insert(key.to_owned());
    }

    fn make_ready(&mut self, key: &str) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        waiting.place = Place::Ready;
        self.ready.insert(waiting.rank(key));
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

fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_BACKOFF)
}

/// Whether a change may help a pod that these plugins rejected.
fn helps(change: Change, rejecting: &BTreeSet<&'static str>) -> bool {
    plugins::ALL.iter().any(|plugin| rejecting.contains(plugin.name) && plugin.wakes.contains(&change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    fn with_priority(priority: i32) -> Arc<PodInfo> {
        pod(&format!(r#"{{"containers":[],"priority":{priority}}}"#))
    }

    fn clock() -> base::Clock {
        base::Clock::system()
    }

    fn taken(queue: &mut Queue) -> String {
        queue.pop().map_or_else(|| "-".to_owned(), |(key, _)| key)
    }

    #[tokio::test(start_paused = true)]
    async fn priority_then_age() {
        let mut queue = Queue::default();
        for (key, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
            queue.put(key, with_priority(priority));
        }
        queue.put("c", with_priority(9));
        queue.remove("d");
        assert_eq!([(); 4].map(|()| taken(&mut queue)), ["c", "b", "a", "-"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_helpful_change_wakes_after_the_back_off() {
        let (mut queue, clock) = (Queue::default(), clock());
        queue.put("a", with_priority(0));
        taken(&mut queue);
        queue.rejected("a", BTreeSet::from(["NodeResourcesFit"]), clock.instant());
        queue.changed(Change::NodeLabels);
        assert_eq!(queue.sizes(), [0, 0, 1]);
        queue.changed(Change::PodLeft);
        assert_eq!(queue.sizes(), [0, 1, 0]);
        queue.advance(clock.instant());
        assert_eq!(taken(&mut queue), "-");
        clock.sleep(Duration::from_secs(1)).await;
        queue.advance(clock.instant());
        assert_eq!(taken(&mut queue), "a");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_the_attempt_is_not_lost() {
        let (mut queue, clock) = (Queue::default(), clock());
        queue.put("a", with_priority(0));
        taken(&mut queue);
        queue.changed(Change::NodeAdded);
        queue.rejected("a", BTreeSet::from(["NodeName"]), clock.instant());
        assert_eq!(queue.sizes(), [0, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_back_off_doubles() {
        let (mut queue, clock) = (Queue::default(), clock());
        queue.put("a", with_priority(0));
        for expected in [300, 300] {
            taken(&mut queue);
            queue.rejected("a", BTreeSet::from(["NodeName"]), clock.instant());
            let wait = queue.next_deadline().unwrap() - clock.instant();
            assert_eq!(wait.as_secs(), expected);
            clock.sleep(wait).await;
            queue.advance(clock.instant());
        }
        assert_eq!((1..7).map(|n| backoff(n).as_secs()).collect::<Vec<_>>(), [1, 2, 4, 8, 10, 10]);
    }
}
