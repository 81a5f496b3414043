//! One watch: a place in a resource's window, moved on as its client reads.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::{Clock, Instant};
use store::Revision;

use super::audience::{Interest, Signal};
use super::resource::Following;
use super::{Cacher, Event, Item, ResourceCache, Selection};

/// A watcher takes at most so many events at once.
const BATCH_EVENTS: usize = 128;

/// Marks of progress come this often, where something has happened in the store meanwhile.
const MARK_INTERVAL: std::time::Duration = std::time::Duration::from_secs(60);

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
    /// Its time is over.
    Over,
}

/// An open watch.
pub struct Watcher {
    cacher: Arc<Cacher>,
    resource: Arc<ResourceCache>,
    clock: Clock,
    interest: Interest,
    signal: Arc<Signal>,
    /// The number of the next event in the window that it has not looked at.
    next: u64,
    /// Whether there may be more from `next` on, whatever the signal says.
    more: bool,
    initial: VecDeque<Arc<Item>>,
    initial_end: Option<Revision>,
    pending: VecDeque<Arc<Event>>,
    /// When the watch ends.
    deadline: Instant,
    /// When a mark of progress is due; `None`: never.
    mark_at: Option<Instant>,
    marked: Revision,
    /// Until the mark or the end.
    timer: Pin<Box<dyn Future<Output = ()> + Send>>,
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
        let (clock, marked, interest) = (cacher.clock.clone(), cacher.revision(), selection.interest());
        let mark_at = marks.then(|| clock.instant() + MARK_INTERVAL);
        let mut watcher = Self {
            // Before it looks: what happens in between is told, and found to be known.
            signal: resource.join(&interest),
            timer: timer(&clock, mark_at, deadline),
            cacher,
            resource,
            clock,
            interest,
            next: 0,
            more: true,
            initial: VecDeque::new(),
            initial_end: None,
            pending: VecDeque::new(),
            deadline,
            mark_at,
            marked,
        };
        match begin {
            Begin::After(revision) => watcher.next = watcher.resource.after(revision)?,
            Begin::Now => {
                let snapshot = watcher.resource.snapshot(selection);
                watcher.next = snapshot.next;
                watcher.initial = snapshot.items.into();
                watcher.initial_end = Some(snapshot.latest.max(marked));
            }
        }
        Ok(watcher)
    }

    /// The same watch, after changes from before its place in the window.
    #[must_use]
    pub fn preceded_by(mut self, past: Vec<Arc<Event>>) -> Self {
        self.pending = past.into();
        self
    }

    /// What comes next, if it is there.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Some(item) = self.initial.pop_front() {
            return Poll::Ready(Next::Initial(item));
        }
        if let Some(revision) = self.initial_end.take() {
            self.marked = revision;
            return Poll::Ready(Next::InitialEnd(revision));
        }
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Poll::Ready(Next::Change(event));
            }
            // In this order: what happens after the registration wakes, and what was applied before is signalled.
            self.signal.register(context.waker());
            let applied = self.cacher.revision();
            if let Some(from) = self.unread() {
                match self.resource.following(from, BATCH_EVENTS) {
                    Following::Forgotten => return Poll::Ready(Next::Cut),
                    Following::Events(events) => {
                        self.next = from + events.len() as u64;
                        self.more = events.len() == BATCH_EVENTS;
                        self.pending = events.into();
                    }
                }
                continue;
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if let Some(next) = self.timed(applied) {
                return Poll::Ready(next);
            }
        }
    }

    /// Where to read on, if there may be something.
    fn unread(&mut self) -> Option<u64> {
        let (told, more) = (self.signal.take(), std::mem::take(&mut self.more));
        if more { Some(self.next) } else { told.map(|told| told.max(self.next)) }
    }

    /// A mark is due or the time is over. Everything up to `applied` has been given.
    fn timed(&mut self, applied: Revision) -> Option<Next> {
        let now = self.clock.instant();
        if now >= self.deadline {
            return Some(Next::Over);
        }
        self.mark_at = self.mark_at.map(|_| now + MARK_INTERVAL);
        self.timer = timer(&self.clock, self.mark_at, self.deadline);
        if applied <= self.marked {
            return None;
        }
        self.marked = applied;
        Some(Next::Progress(applied))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.resource.leave(&self.interest, &self.signal);
    }
}

fn timer(clock: &Clock, mark_at: Option<Instant>, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let (clock, until) = (clock.clone(), mark_at.map_or(deadline, |at| at.min(deadline)));
    Box::pin(async move { clock.sleep_until(until).await })
}
