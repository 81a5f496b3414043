//! Watches that outlive their connections: what a member has told is remembered, the next one continues from there.
//!
//! Invariant: everything up to `upto` has been delivered, and nothing after it; so a new connection leaves no gap, and
//! what it repeats is dropped.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream;

use super::Link;
use super::cluster::{Cluster, REQUEST_LIMIT};
use super::connection::Connection;
use super::keys::{number, revision};
use super::progress::{ARRIVAL, ASK_AGAIN, MARK_AGAIN, Wanted};
use super::proto::event::EventType;
use super::proto::{self, WatchCreateRequest, WatchResponse};
use crate::{Batch, Change, Error, Event, Expect, Range, Revision, WatchStream};

/// A watch of a prefix.
pub struct Following {
    link: Arc<Link>,
    range: Range,
    upto: Revision,
    wanted: Arc<Wanted>,
    connection: Option<Connection>,
    failures: u32,
    /// What is done to learn about progress, and how often it was done in vain.
    nudge: Option<BoxFuture<'static, ()>>,
    nudges: u32,
}

/// Why a connection is of no use any longer.
enum Lost {
    /// The history that follows is gone: no other connection helps.
    History(Revision),
    /// It broke.
    Connection(Error),
}

impl Following {
    /// The changes under `prefix` after `after`.
    pub fn new(link: Arc<Link>, prefix: &str, after: Revision, wanted: Arc<Wanted>) -> Self {
        let range = Range::prefix(prefix);
        Self { link, range, upto: after, wanted, connection: None, failures: 0, nudge: None, nudges: 0 }
    }

    /// The watch as callers read it.
    pub fn stream(self) -> WatchStream {
        Box::pin(stream::unfold(Some(self), |following| async {
            let mut following = following?;
            let item = following.next().await;
            let following = item.is_ok().then_some(following);
            Some((item, following))
        }))
    }

    async fn next(&mut self) -> Result<Batch, Error> {
        let closed = self.link.cluster.closed.clone();
        tokio::select! {
            biased;
            () = closed.cancelled() => Err(Error::Closed),
            batch = self.batch() => batch,
        }
    }

    async fn batch(&mut self) -> Result<Batch, Error> {
        loop {
            if self.wanted.fulfilled(self.upto) {
                (self.nudge, self.nudges) = (None, 0);
                return Ok(Batch { events: Vec::new(), revision: self.upto });
            }
            let Some(mut connection) = self.connection.take() else {
                self.connect().await?;
                continue;
            };
            if self.nudge.is_none() && self.wanted.upto().is_some() {
                self.nudge = self.next_nudge(&connection);
            }
            let heard = tokio::select! {
                biased;
                answer = connection.next() => Some(answer),
                () = self.wanted.changed() => None,
                () = nudged(&mut self.nudge) => {
                    (self.nudge, self.nudges) = (None, self.nudges + 1);
                    None
                }
            };
            let batch = match heard {
                None => Ok(None),
                Some(answer) => answer.map_err(Lost::Connection).and_then(|answer| self.take_in(&connection, answer)),
            };
            match batch {
                Ok(batch) => {
                    self.connection = Some(connection);
                    if let Some(batch) = batch {
                        return Ok(batch);
                    }
                }
                Err(Lost::History(oldest)) => return Err(Error::Compacted { requested: self.upto, oldest }),
                Err(Lost::Connection(error)) => self.lost(connection.member, &error),
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        self.link.cluster.pause(self.failures).await;
        match Connection::open(&self.link.cluster, self.create()?).await {
            Ok(connection) => self.connection = Some(connection),
            Err((member, error)) => self.lost(member, &error),
        }
        Ok(())
    }

    fn lost(&mut self, member: usize, error: &Error) {
        tracing::debug!(%error, upto = %self.upto, "a watch lost its etcd member and goes on with the next one");
        self.link.cluster.turn_from(member);
        self.failures += 1;
        self.nudge = None;
    }

    /// Asks from `upto` itself on, not from what follows it: only so does etcd say that what follows is compacted, where
    /// the first thing that follows is a deletion.
    fn create(&self) -> Result<WatchCreateRequest, Error> {
        let (key, mut range_end) = self.link.keys.range(&self.range);
        if self.mark().is_some() {
            range_end.push(0);
        }
        Ok(WatchCreateRequest {
            key,
            range_end,
            start_revision: number(self.upto)?.max(1),
            progress_notify: true,
            prev_kv: true,
            fragment: true,
        })
    }

    /// The key by which the watch learns of its progress: the first one after its prefix.
    fn mark(&self) -> Option<&str> {
        self.range.end.as_deref()
    }

    /// What a watch of everything sees last is the latest change: it needs no mark.
    fn next_nudge(&self, connection: &Connection) -> Option<BoxFuture<'static, ()>> {
        let (clock, link) = (self.link.cluster.clock.clone(), self.link.clone());
        if connection.tells_progress {
            let ask = connection.ask_progress();
            let again = self.nudges > 0;
            return Some(Box::pin(async move {
                if again {
                    clock.sleep(ASK_AGAIN).await;
                }
                ask.await;
            }));
        }
        let mark = self.mark()?.to_owned();
        let wait = if self.nudges == 0 { ARRIVAL } else { MARK_AGAIN };
        Some(Box::pin(async move {
            clock.sleep(wait).await;
            if let Err(error) = link.write(&mark, Expect::Any, Change::put("")).await {
                tracing::debug!(%error, "the mark of progress was not written");
            }
        }))
    }

    /// What an answer brings: a batch, unless all in it is known or for ourselves.
    fn take_in(&mut self, connection: &Connection, answer: WatchResponse) -> Result<Option<Batch>, Lost> {
        if answer.compact_revision > 0 {
            return Err(Lost::History(revision(answer.compact_revision)));
        }
        if answer.canceled {
            return Err(Lost::Connection(Error::Unavailable { message: answer.cancel_reason }));
        }
        self.failures = 0;
        if answer.created {
            return Ok(None);
        }
        if answer.events.is_empty() {
            return Ok(self.progress(connection, &answer));
        }
        let mut events = Vec::with_capacity(answer.events.len());
        let before = self.upto;
        for told in answer.events {
            let at = revision(told.kv.as_ref().map_or(0, |found| found.mod_revision));
            if at > before {
                self.upto = self.upto.max(at);
                events.extend(self.event(told)?);
            }
        }
        Ok((!events.is_empty()).then_some(Batch { events, revision: self.upto }))
    }

    fn progress(&mut self, connection: &Connection, answer: &WatchResponse) -> Option<Batch> {
        // Answers to requests name no watch; those of old members may overtake events.
        if answer.watch_id < 0 && !connection.tells_progress {
            return None;
        }
        let at = revision(answer.header.as_ref().map_or(0, |header| header.revision));
        if at <= self.upto {
            return None;
        }
        self.upto = at;
        Some(Batch { events: Vec::new(), revision: at })
    }

    /// An event for callers; `None` for a mark, or a key that is none of ours.
    fn event(&self, told: proto::Event) -> Result<Option<Event>, Lost> {
        let deleted = told.r#type() == EventType::Delete;
        let Some(found) = told.kv else { return Ok(None) };
        let at = revision(found.mod_revision);
        let is_new = !deleted && found.version == 1;
        if self.mark().is_some_and(|mark| self.link.keys.theirs(mark) == found.key) {
            return Ok(None);
        }
        // What was there before is told unless compaction took it away meanwhile.
        let Some(before) = told.prev_kv.map(Some).or(is_new.then_some(None)) else { return Err(Lost::History(at)) };
        let previous = before.and_then(|before| self.link.keys.entry(before));
        if deleted {
            return Ok(previous.map(|previous| Event::Delete { revision: at, previous }));
        }
        Ok(self.link.keys.entry(found).map(|entry| Event::Put { entry, previous }))
    }
}

/// Does what was decided to learn about progress; without a decision it waits for ever.
async fn nudged(nudge: &mut Option<BoxFuture<'static, ()>>) {
    match nudge {
        Some(nudge) => nudge.await,
        None => std::future::pending().await,
    }
}

/// The oldest revision that can be read, in a cluster that was compacted: a watch from the beginning is told.
pub async fn compacted(cluster: &Cluster) -> Result<Revision, Error> {
    let told = async {
        let create = WatchCreateRequest { key: b"\0".to_vec(), start_revision: 1, ..WatchCreateRequest::default() };
        let mut connection = Connection::open(cluster, create).await.map_err(|(_, error)| error)?;
        loop {
            let answer = connection.next().await?;
            if answer.compact_revision > 0 {
                return Ok(revision(answer.compact_revision));
            }
        }
    };
    let told = cluster.clock.timeout(REQUEST_LIMIT, told).await;
    told.unwrap_or(Err(Error::TimedOut { doing: "ask for the oldest revision" }))
}
