//! The durable log: segments of frames, written at their end only.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Sizes;
use super::disk::{Disk, DiskFile};
use super::names::FileName;
use crate::{Error, Revision};

/// A segment that is written no more.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Its file.
    pub name: String,
    /// No change in it is later.
    pub last: Revision,
    /// Its length.
    pub bytes: u64,
}

/// The sealed segments, oldest first; compaction takes from them what the log adds.
pub type SealedSegments = Arc<Mutex<Vec<Sealed>>>;

/// The end of the log.
pub struct Log {
    disk: Arc<dyn Disk>,
    sealed: SealedSegments,
    sizes: Sizes,
    open: Option<Segment>,
    next_sequence: u64,
}

struct Segment {
    name: String,
    file: Box<dyn DiskFile>,
    /// Where the next frame goes.
    end: u64,
    /// Up to where zeros are written ahead.
    zeroed: u64,
    last: Revision,
}

impl Log {
    /// Continues a log in a new segment, made at the first write.
    pub fn new(disk: Arc<dyn Disk>, sealed: SealedSegments, sizes: Sizes, next_sequence: u64) -> Self {
        Self { disk, sealed, sizes, open: None, next_sequence }
    }

    /// Makes `frame` durable, whose changes go up to `last`.
    ///
    /// # Errors
    /// [`Error::Full`] when it is not there and the log can go on; [`Error::Failed`] when the log cannot.
    pub fn append(&mut self, frame: &[u8], last: Revision) -> Result<(), Error> {
        if self.open.as_ref().is_none_or(|segment| segment.end + frame.len() as u64 > self.sizes.segment_bytes) {
            self.seal();
            self.open = Some(self.create(last)?);
        }
        let segment = self.open.as_mut().expect("a segment was just opened");
        match segment.append(frame, self.sizes.ahead_bytes) {
            Ok(()) => {
                segment.last = last;
                Ok(())
            }
            Err((step, source)) => {
                let name = segment.name.clone();
                Err(self.disk_error(step, &name, source))
            }
        }
    }

    fn seal(&mut self) {
        let Some(mut segment) = self.open.take() else { return };
        // Zeros left at the end harm nobody, so neither does a failure to cut them off.
        if let Err(error) = segment.file.set_len(segment.end) {
            tracing::warn!(%error, file = segment.name, "cannot cut a log segment to its length");
        }
        self.sealed.lock().push(Sealed { name: segment.name, last: segment.last, bytes: segment.end });
    }

    fn create(&mut self, last: Revision) -> Result<Segment, Error> {
        let name = FileName::Segment(self.next_sequence).to_string();
        let file = self.disk.create(&name).map_err(|error| self.disk_error(Step::Write, &name, error))?;
        self.disk.sync().map_err(|error| self.disk_error(Step::Sync, &name, error))?;
        self.next_sequence += 1;
        Ok(Segment { name, file, end: 0, zeroed: 0, last })
    }

    fn disk_error(&self, step: Step, name: &str, source: io::Error) -> Error {
        let file = self.disk.path().join(name);
        match step {
            Step::Write if is_full(&source) => Error::Full { doing: format!("write {}", file.display()) },
            Step::Write => Error::failed(format!("write {}", file.display()), source),
            Step::Undo => Error::failed(format!("take back a write to {}", file.display()), source),
            Step::Sync => Error::failed(format!("sync {}", file.display()), source),
        }
    }
}

/// What a disk was doing when it failed.
#[derive(Debug, Clone, Copy)]
enum Step {
    Write,
    Undo,
    Sync,
}

impl Segment {
    fn append(&mut self, frame: &[u8], ahead: u64) -> Result<(), (Step, io::Error)> {
        let end = self.end + frame.len() as u64;
        // Ahead of a large group, zeros would only mean to write everything twice.
        if end > self.zeroed && frame.len() as u64 * 4 < ahead {
            self.write_ahead(ahead);
        }
        if let Err(error) = self.file.write_at(frame, self.end) {
            return Err(self.undo(error));
        }
        // After a failed sync nobody knows what is on disk, and a second one may claim success: no way back from here.
        self.file.sync().map_err(|error| (Step::Sync, error))?;
        self.end = end;
        Ok(())
    }

    /// Zeros are only for speed: without room for them the frame may still fit.
    fn write_ahead(&mut self, ahead: u64) {
        let from = self.end.max(self.zeroed);
        let zeros = vec![0; usize::try_from(ahead).unwrap_or(0)];
        if self.file.write_at(&zeros, from).is_ok() {
            self.zeroed = from + ahead;
        }
    }

    /// Takes back a write that found no room, so that the next one may succeed.
    fn undo(&mut self, error: io::Error) -> (Step, io::Error) {
        if !is_full(&error) {
            return (Step::Write, error);
        }
        self.zeroed = self.end;
        match self.file.set_len(self.end) {
            Ok(()) => (Step::Write, error),
            Err(error) => (Step::Undo, error),
        }
    }
}

/// Whether making room helps.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
