//! A work queue: a key stands in it once, is worked on by one worker at a time, and may come back later.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use base::{Backoff, BackoffTable, Clock, Instant, Random};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::{OfQueue, Working, since};

/// Between attempts of a key that fails, as client-go's work queues wait.
pub const QUEUE_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(5), limit: Duration::from_secs(1000), jitter: 0.0 };

/// A work queue. Cheap to clone; clones share it. It never holds more keys than there are.
pub struct Queue<K>(Arc<Shared<K>>);

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<K> {
    state: Mutex<State<K>>,
    notify: Notify,
    clock: Clock,
    random: Random,
}

struct State<K> {
    ready: VecDeque<K>,
    waiting: HashMap<K, Instant>,
    working: HashMap<K, Instant>,
    later: BTreeSet<(Instant, u64)>,
    later_keys: HashMap<u64, K>,
    due: HashMap<K, (Instant, u64)>,
    next_id: u64,
    failures: BackoffTable<K>,
    closed: bool,
    metrics: Option<OfQueue>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Queue<K> {
    /// Counts what it does as the queue of this controller.
    #[must_use]
    pub fn of_controller(self, name: &str) -> Self {
        let weak = Arc::downgrade(&self.0);
        self.0.state.lock().metrics = Some(OfQueue::of(name, weak));
        self
    }
}

impl<K: Send + Sync> Working for Shared<K> {
    fn seconds(&self) -> Vec<f64> {
        self.state.lock().working.values().map(|started| since(&self.clock, *started)).collect()
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(clock: Clock, random: Random, backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashMap::new(),
            working: HashMap::new(),
            later: BTreeSet::new(),
            later_keys: HashMap::new(),
            due: HashMap::new(),
            next_id: 0,
            failures: BackoffTable::new(backoff),
            closed: false,
            metrics: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), notify: Notify::new(), clock, random }))
    }

    /// Puts `key` in, unless it waits already. A key that is being worked on comes again when that is done.
    pub fn add(&self, key: K) {
        let now = self.0.clock.instant();
        self.0.state.lock().add(key, now);
        self.0.notify.notify_one();
    }

    /// Puts `key` in after `delay`; of several delays the one that ends first counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = self.0.clock.instant() + delay;
        self.0.state.lock().add_at(key, at);
        self.0.notify.notify_one();
    }

    /// Puts `key` in after the back-off that its failures in a row ask for; gives the delay.
    pub fn add_failed(&self, key: K) -> Duration {
        let now = self.0.clock.instant();
        let delay = {
            let mut state = self.0.state.lock();
            state.metrics.iter().for_each(|metrics| metrics.retries.inc());
            state.failures.failed(key.clone(), now, &self.0.random)
        };
        self.add_after(key, delay);
        delay
    }

    /// Forgets the failures of `key`.
    pub fn succeeded(&self, key: &K) {
        self.0.state.lock().failures.succeeded(key);
    }

    /// How often `key` failed in a row.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.0.state.lock().failures.failures(key)
    }

    /// Waits for a key to work on; call [`Queue::done`] afterwards. `None` once the queue is closed.
    pub async fn next(&self) -> Option<K> {
        loop {
            let notified = self.0.notify.notified();
            let due = match self.0.state.lock().take(self.0.clock.instant()) {
                Taken::Closed => {
                    self.0.notify.notify_one();
                    return None;
                }
                Taken::Key { key, more } => {
                    if more {
                        self.0.notify.notify_one();
                    }
                    return Some(key);
                }
                Taken::Nothing { due } => due,
            };
            match due {
                None => notified.await,
                Some(at) => tokio::select! {
                    biased;
                    () = notified => {}
                    () = self.0.clock.sleep_until(at) => {}
                },
            }
        }
    }

    /// Work on `key` has ended; if it was added meanwhile it comes again.
    pub fn done(&self, key: &K) {
        let mut state = self.0.state.lock();
        let started = state.working.remove(key);
        if let (Some(metrics), Some(started)) = (&state.metrics, started) {
            metrics.worked.observe(since(&self.0.clock, started));
        }
        if state.waiting.contains_key(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.0.notify.notify_one();
        }
    }

    /// Ends [`Queue::next`] for all workers.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.notify.notify_one();
    }

    /// How many keys wait to be worked on now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.state.lock().waiting.len()
    }

    /// Whether no key waits to be worked on now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

enum Taken<K> {
    Closed,
    Key { key: K, more: bool },
    Nothing { due: Option<Instant> },
}

impl<K: Clone + Eq + Hash> State<K> {
    fn add(&mut self, key: K, now: Instant) {
        if self.closed || self.waiting.contains_key(&key) {
            return;
        }
        self.waiting.insert(key.clone(), now);
        if let Some(metrics) = &self.metrics {
            metrics.adds.inc();
            metrics.depth.inc();
        }
        if !self.working.contains_key(&key) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        if let Some(known) = self.due.get(&key).copied() {
            if known.0 <= at {
                return;
            }
            self.later.remove(&known);
            self.later_keys.remove(&known.1);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.later.insert((at, id));
        self.due.insert(key.clone(), (at, id));
        self.later_keys.insert(id, key);
    }

    fn take(&mut self, now: Instant) -> Taken<K> {
        if self.closed {
            return Taken::Closed;
        }
        while let Some((at, id)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, id));
            if let Some(key) = self.later_keys.remove(&id) {
                self.due.remove(&key);
                self.add(key, now);
            }
        }
        let Some(key) = self.ready.pop_front() else {
            return Taken::Nothing { due: self.later.first().map(|(at, _)| *at) };
        };
        let since = self.waiting.remove(&key);
        if let Some(metrics) = &self.metrics {
            metrics.depth.dec();
            metrics.waited.took(now.saturating_duration_since(since.unwrap_or(now)));
        }
        self.working.insert(key.clone(), now);
        Taken::Key { key, more: !self.ready.is_empty() || !self.later.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn queue() -> Queue<&'static str> {
        Queue::new(Clock::system(), Random::seeded(1), QUEUE_BACKOFF)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_once_at_a_time() {
        let queue = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, Some("a"));
        queue.add("a");
        assert_eq!(queue.next().now_or_never(), None, "a is being worked on");
        queue.done(&"a");
        assert_eq!(queue.next().await, Some("a"));
        queue.done(&"a");
        assert_eq!(queue.next().now_or_never(), None);
        queue.close();
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_delay_counts_and_failures_wait_longer() {
        let (queue, start) = (queue(), Clock::system().instant());
        let at = || Clock::system().instant() - start;
        queue.add_after("late", Duration::from_secs(60));
        queue.add_after("late", Duration::from_secs(20));
        queue.add_after("late", Duration::from_secs(40));
        queue.add_after("early", Duration::from_secs(10));
        assert_eq!((queue.next().await, at().as_secs()), (Some("early"), 10));
        assert_eq!((queue.next().await, at().as_secs()), (Some("late"), 20));
        assert_eq!(queue.next().now_or_never(), None);
        let delays: Vec<_> = (0..4).map(|_| queue.add_failed("x").as_millis()).collect();
        assert_eq!(delays, [5, 10, 20, 40]);
        queue.succeeded(&"x");
        assert_eq!(queue.add_failed("x").as_millis(), 5);
    }
}
