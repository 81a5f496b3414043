//! The engine for one machine: the index in memory, before a log on disk.
//!
//! All reads are the index's. A write goes to one writer thread, which shares a sync among all writes that wait
//! (group commit). Compaction replaces old segments of the log by a snapshot.

pub mod disk;
mod frame;
mod log;
mod names;
mod recover;
mod snapshot;
mod writer;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use async_trait::async_trait;
use base::{Clock, Tasks};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::index::Index;
use crate::plan::Request;
use crate::shared::Shared;
use crate::{Change, Entry, Error, Expect, Range, RangeResult, Revision, Store, WatchStream, expiry};
use disk::{Directory, Disk};
use log::Log;
use snapshot::Trim;
use writer::{Ask, QUEUE_WRITES, Writer};

/// How large the files get.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// A segment of the log that would grow beyond this is sealed; compaction removes whole segments.
    pub segment_bytes: u64,
    /// Compaction writes a snapshot when it can remove so much of the log, and as much as the last snapshot takes.
    pub trim_bytes: u64,
    /// Zeros are written ahead of small groups, so many at a time: the file's length then need not be synced with
    /// each group, which halves the time a write takes.
    pub ahead_bytes: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { segment_bytes: 8 << 20, trim_bytes: 8 << 20, ahead_bytes: 256 << 10 }
    }
}

/// Opens the store in `dir`, which is made if need be. Call it inside the runtime; it blocks while it reads the files.
///
/// # Errors
/// [`Error::Locked`], [`Error::Open`], [`Error::Damaged`].
pub fn open(dir: &Path, clock: Clock) -> Result<Arc<dyn Store>, Error> {
    open_on(Arc::new(Directory::open(dir)?), Sizes::default(), clock)
}

/// Opens the store on a disk of the caller's.
///
/// # Errors
/// [`Error::Open`], [`Error::Damaged`].
pub fn open_on(disk: Arc<dyn Disk>, sizes: Sizes, clock: Clock) -> Result<Arc<dyn Store>, Error> {
    let recovered = recover::recover(&disk)?;
    let shared = Shared::new(recovered.index);
    let sealed = Arc::new(Mutex::new(recovered.segments));
    let log = Log::new(disk.clone(), sealed.clone(), sizes, recovered.next_sequence);
    let trim = Trim::new(disk, shared.clone(), sealed, recovered.snapshot, sizes.trim_bytes);
    let history_grew = Arc::new(Notify::new());
    let writer = Writer::new(shared.clone(), log, history_grew.clone());
    let (asks, queue) = mpsc::channel(QUEUE_WRITES);
    let thread = std::thread::Builder::new().name("store writer".to_owned()).spawn(move || writer.run(queue));
    let thread = thread.map_err(|error| Error::opening("start the writer thread".to_owned(), error))?;
    let core = Arc::new(Core {
        shared,
        clock,
        asks: Mutex::new(Some(asks)),
        thread: Mutex::new(Some(thread)),
        trim: Arc::new(tokio::sync::Mutex::new(Some(trim))),
    });
    let mut tasks = Tasks::new();
    tasks.spawn("store expiry", expire(core.clone()));
    tasks.spawn("store history", cut_history(Arc::downgrade(&core), history_grew));
    Ok(Arc::new(Embedded { core, _tasks: tasks }))
}

struct Embedded {
    core: Arc<Core>,
    _tasks: Tasks,
}

/// What the engine's own tasks share with it.
struct Core {
    shared: Arc<Shared>,
    clock: Clock,
    /// Taken when the store closes; the writer ends when the last sender is gone.
    asks: Mutex<Option<mpsc::Sender<Ask>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held through a compaction: one at a time. Taken when the store closes, and with it the disk.
    trim: Arc<tokio::sync::Mutex<Option<Trim>>>,
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        self.core.shared.get(key, at)
    }

    async fn range(&self, range: Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        self.core.shared.range(&range, at)
    }

    async fn write(&self, key: &str, expect: Expect, change: Change) -> Result<Revision, Error> {
        let request = Request::new(key, expect, change, self.core.clock.now())?;
        self.core.ask(|answer| Ask::Write(request, answer)).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<WatchStream, Error> {
        self.core.shared.watch(prefix, after)
    }

    async fn request_progress(&self, prefix: &str) -> Result<(), Error> {
        self.core.shared.request_progress(prefix)
    }

    async fn compact(&self, at: Revision) -> Result<(), Error> {
        self.core.compact(at).await
    }

    async fn revision(&self) -> Result<Revision, Error> {
        self.core.shared.revision()
    }

    async fn size_bytes(&self) -> Option<u64> {
        let trim = self.core.trim.try_lock().ok()?;
        trim.as_ref()?.size_bytes()
    }

    async fn close(&self) {
        self.core.close().await;
    }
}

impl Drop for Embedded {
    /// Lets the writer finish by itself; only [`Store::close`] waits for it.
    fn drop(&mut self) {
        self.core.stop();
    }
}

impl Core {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Ask) -> Result<T, Error> {
        let asks = self.asks.lock().clone().ok_or(Error::Closed)?;
        let (to, answer) = oneshot::channel();
        asks.send(ask(to)).await.map_err(|_| Error::Closed)?;
        drop(asks);
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn compact(&self, at: Revision) -> Result<(), Error> {
        let mut trim = self.trim.clone().lock_owned().await;
        self.ask(|answer| Ask::Compact(at, answer)).await?;
        // Whoever asks for less than is compacted already gets that.
        let at = self.shared.read(Index::compacted);
        if !trim.as_ref().is_some_and(|trim| trim.is_due(at)) {
            return Ok(());
        }
        // The lock goes along: it stays held even if the caller gives up waiting.
        let trimmed = tokio::task::spawn_blocking(move || trim.as_mut().map_or(Ok(()), |trim| trim.run(at)));
        trimmed.await.unwrap_or(Err(Error::Closed))
    }

    fn stop(&self) {
        self.shared.close();
        self.asks.lock().take();
    }

    async fn close(&self) {
        self.stop();
        let mut trim = self.trim.lock().await;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && let Ok(Err(_)) = tokio::task::spawn_blocking(move || thread.join()).await
        {
            tracing::error!("the store's writer panicked");
        }
        trim.take();
    }
}

async fn expire(core: Arc<Core>) {
    let delete = async |key, revision| {
        let request = Request::expire(key, revision);
        core.ask(|answer| Ask::Write(request, answer)).await.map(drop)
    };
    expiry::run(core.shared.clone(), core.clock.clone(), delete).await;
}

/// Compacts without being asked when the history takes too much memory.
async fn cut_history(core: Weak<Core>, history_grew: Arc<Notify>) {
    loop {
        history_grew.notified().await;
        let Some(core) = core.upgrade() else { return };
        let Some(at) = core.shared.history_overflow() else { continue };
        if let Err(error) = core.compact(at).await {
            tracing::warn!(%error, "cannot cut the store's history");
        }
    }
}
