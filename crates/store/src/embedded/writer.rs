//! The one writer: decides, makes durable, publishes, answers, in this order, many writes at a time.
//!
//! While one group is being synced the next one gathers in the queue; so writers share syncs exactly when there are
//! many of them, and a lone one waits for nobody.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::frame::{Frame, Item};
use super::log::Log;
use crate::index::Index;
use crate::plan::{Record, Request, plan};
use crate::shared::Shared;
use crate::{Entry, Error, Revision};

/// So many writes wait at most; further callers wait to get in line.
pub const QUEUE_WRITES: usize = 1024;

/// A group takes no more writes than this.
const GROUP_WRITES: usize = 512;

/// A group that is this large takes no more writes.
const GROUP_BYTES: usize = 4 << 20;

/// What the writer is asked for, and where it answers.
pub enum Ask {
    /// A write.
    Write(Request, oneshot::Sender<Result<Revision, Error>>),
    /// Forgetting the history up to a revision.
    Compact(Revision, oneshot::Sender<Result<(), Error>>),
}

/// Owns the end of the log.
pub struct Writer {
    shared: Arc<Shared>,
    log: Log,
    history_grew: Arc<Notify>,
    frame: Frame,
    failed: Option<Error>,
}

impl Writer {
    /// A writer that publishes to `shared` and rings `history_grew` when the history must be cut.
    pub fn new(shared: Arc<Shared>, log: Log, history_grew: Arc<Notify>) -> Self {
        Self { shared, log, history_grew, frame: Frame::default(), failed: None }
    }

    /// Works until all who could ask are gone.
    pub fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(first) = asks.blocking_recv() {
            let mut group = Group::new(self.shared.clone(), std::mem::take(&mut self.frame));
            group.add(first);
            while group.has_room()
                && let Ok(next) = asks.try_recv()
            {
                group.add(next);
            }
            self.finish(group);
        }
    }

    fn finish(&mut self, mut group: Group) {
        let durable = self.make_durable(&mut group);
        if let Err(error) = &durable {
            tracing::error!(%error, "writes to the store failed");
        }
        self.frame = std::mem::take(&mut group.frame);
        self.frame.clear();
        if durable.is_ok() {
            self.shared.publish(group.records);
            if let Some(at) = group.compact {
                self.shared.compact(at);
            }
            if self.shared.history_overflow().is_some() {
                self.history_grew.notify_one();
            }
        }
        for answer in group.answers {
            answer.give(&durable);
        }
    }

    fn make_durable(&mut self, group: &mut Group) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if group.frame.is_empty() {
            return Ok(());
        }
        let written = self.log.append(group.frame.finish(), group.revision);
        if let Err(error @ Error::Failed { .. }) = &written {
            self.failed = Some(error.clone());
        }
        written
    }
}

/// Writes that become durable together.
struct Group {
    shared: Arc<Shared>,
    /// The revision after all of them.
    revision: Revision,
    records: Vec<Record>,
    /// What the keys hold after the writes of this group.
    staged: HashMap<Arc<str>, Option<Entry>>,
    compact: Option<Revision>,
    frame: Frame,
    answers: Vec<Answer>,
}

impl Group {
    fn new(shared: Arc<Shared>, frame: Frame) -> Self {
        Self {
            revision: shared.read(Index::revision),
            shared,
            records: Vec::new(),
            staged: HashMap::new(),
            compact: None,
            frame,
            answers: Vec::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.answers.len() < GROUP_WRITES && self.frame.len() < GROUP_BYTES
    }

    fn add(&mut self, ask: Ask) {
        let answer = match ask {
            Ask::Write(request, to) => Answer::Write(self.write(request), to),
            Ask::Compact(at, to) => Answer::Compact(self.compact(at), to),
        };
        self.answers.push(answer);
    }

    fn write(&mut self, request: Request) -> Result<Revision, Error> {
        let previous = match self.staged.get(&request.key) {
            Some(staged) => staged.clone(),
            None => self.shared.read(|index| index.current(&request.key)),
        };
        if let Some(record) = plan(request, previous.as_ref(), self.revision.next())? {
            self.stage(record);
        }
        Ok(self.revision)
    }

    fn stage(&mut self, record: Record) {
        self.revision = record.revision;
        self.frame.push_change(&record.key, record.revision, record.live.as_ref());
        let entry = record.live.as_ref().map(|live| live.entry(&record.key, record.revision));
        self.staged.insert(record.key.clone(), entry);
        self.records.push(record);
    }

    fn compact(&mut self, at: Revision) -> Result<(), Error> {
        if at > self.revision {
            return Err(Error::Future { requested: at, current: self.revision });
        }
        if at > self.compact.unwrap_or(self.shared.read(Index::compacted)) {
            self.frame.push(&Item::Compact(at));
            self.compact = Some(at);
        }
        Ok(())
    }
}

/// What is answered once the group is durable.
enum Answer {
    Write(Result<Revision, Error>, oneshot::Sender<Result<Revision, Error>>),
    Compact(Result<(), Error>, oneshot::Sender<Result<(), Error>>),
}

impl Answer {
    /// Whoever no longer waits for the answer misses it. What was decided on a group that failed counts for nothing.
    fn give(self, durable: &Result<(), Error>) {
        match self {
            Self::Write(answer, to) => drop(to.send(durable.clone().and(answer))),
            Self::Compact(answer, to) => drop(to.send(durable.clone().and(answer))),
        }
    }
}
