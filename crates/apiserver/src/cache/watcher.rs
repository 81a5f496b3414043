//! One watch: a place in a resource's window, moved on as its client reads.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{Clock, Instant};
use store::Revision;

use super::resource::Following;
use super::{Cacher, Event, Item, ResourceCache, Selection};

/// A watcher takes at most so many events at once.
const BATCH_EVENTS: usize = 128;

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With the present objects.
    Now,
    /// After this revision.
    After(Revision),
}

/// What comes next in a watch.
#[derive(Debug)]
pub enum Next {
    /// An object that was there when the watch began.
    Initial(Arc<Item>),
    /// All objects that were there have been given; this is the state at that revision.
    InitialEnd(Revision),
    /// A change; whether the watcher sees it is for [`Event::seen_by`] to say.
    Change(Arc<Event>),
    /// Nothing up to this revision that was not given.
    Progress(Revision),
    /// The watch is so far behind that changes are lost to it.
    Cut,
    /// Its time is over, or the server ends.
    Over,
}

/// An open watch.
pub struct Watcher {
    cacher: Arc<Cacher>,
    resource: Arc<ResourceCache>,
    clock: Clock,
    changed: tokio::sync::watch::Receiver<u64>,
    next: u64,
    initial: VecDeque<Arc<Item>>,
    initial_end: Option<Revision>,
    pending: VecDeque<Arc<Event>>,
    /// When the watch ends.
    deadline: Instant,
    /// When a mark of progress is due; `None`: never.
    mark_at: Option<Instant>,
    marked: Revision,
}

impl Watcher {
    /// Opens a watch.
    ///
    /// # Errors
    /// The oldest revision from which one can start, when `begin` is older.
    pub fn open(
        cacher: Arc<Cacher>,
        resource: Arc<ResourceCache>,
        selection: &Selection,
        begin: Begin,
        deadline: Instant,
        marks: bool,
    ) -> Result<Self, Revision> {
        let (changed, clock, marked) = (resource.changes(), cacher.clock.clone(), cacher.revision());
        let (next, initial, initial_end) = match begin {
            Begin::After(revision) => (resource.after(revision)?, VecDeque::new(), None),
            Begin::Now => {
                let snapshot = resource.snapshot(selection);
                (snapshot.next, snapshot.items.into(), Some(snapshot.latest.max(marked)))
            }
        };
        let mark_at = marks.then(|| clock.instant() + MARK_INTERVAL);
        let pending = VecDeque::new();
        Ok(Self { cacher, resource, clock, changed, next, initial, initial_end, pending, deadline, mark_at, marked })
    }

    /// What comes next; waits for it.
    pub async fn next(&mut self) -> Next {
        if let Some(item) = self.initial.pop_front() {
            return Next::Initial(item);
        }
        if let Some(revision) = self.initial_end.take() {
            self.marked = revision;
            return Next::InitialEnd(revision);
        }
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Next::Change(event);
            }
            self.changed.mark_unchanged();
            let applied = self.cacher.revision();
            match self.resource.following(self.next, BATCH_EVENTS) {
                Following::Forgotten => return Next::Cut,
                Following::Events(events) if !events.is_empty() => {
                    self.next += events.len() as u64;
                    self.pending = events.into();
                }
                Following::Events(_) => {
                    if let Some(end) = self.idle(applied).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Waits until something has changed (`None`), a mark is due or the time is over. Everything up to `applied` has
    /// been given.
    async fn idle(&mut self, applied: Revision) -> Option<Next> {
        let until = self.mark_at.map_or(self.deadline, |at| at.min(self.deadline));
        tokio::select! {
            biased;
            changed = self.changed.changed() => changed.is_err().then_some(Next::Over),
            () = self.clock.sleep_until(until) => {
                let now = self.clock.instant();
                if now >= self.deadline {
                    return Some(Next::Over);
                }
                self.mark_at = Some(now + MARK_INTERVAL);
                if applied <= self.marked {
                    return None;
                }
                self.marked = applied;
                Some(Next::Progress(applied))
            }
        }
    }
}

/// Marks of progress come this often, where something has happened in the store meanwhile.
const MARK_INTERVAL: std::time::Duration = std::time::Duration::from_secs(60);
