//! Trims the log: writes the live entries of a compacted revision to a snapshot, then removes the segments before it.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::frame::{Frame, Item};
use super::log::{SealedSegments, is_full};
use super::names::FileName;
use crate::shared::Shared;
use crate::{Error, Revision};

/// Entries are read in chunks of this many, so that no writer waits long.
const CHUNK_ENTRIES: usize = 256;

/// What trimming needs, and the snapshot that there is.
pub struct Trim {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    sealed: SealedSegments,
    snapshot: Option<(Revision, u64)>,
    /// Less is not worth a snapshot.
    trim_bytes: u64,
}

impl Trim {
    /// Of a store with the files that recovery found.
    pub fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        sealed: SealedSegments,
        snapshot: Option<(Revision, u64)>,
        trim_bytes: u64,
    ) -> Self {
        Self { disk, shared, sealed, snapshot, trim_bytes }
    }

    /// Whether a snapshot at `at` is news and would free at least as much as it takes: then each byte is written twice
    /// on average.
    pub fn is_due(&self, at: Revision) -> bool {
        let (known, bytes) = self.snapshot.unwrap_or((Revision(0), 0));
        known < at && self.removable_bytes(at) >= self.trim_bytes.max(bytes)
    }

    /// The size of all files.
    pub fn size_bytes(&self) -> Option<u64> {
        Some(self.disk.list().ok()?.iter().map(|(_, bytes)| bytes).sum())
    }

    fn removable_bytes(&self, at: Revision) -> u64 {
        self.sealed.lock().iter().filter(|segment| segment.last <= at).map(|segment| segment.bytes).sum()
    }

    /// Writes the snapshot at `at`, which the store was just compacted at, and removes what it replaces.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Failed`]. Nothing is lost by it; the log goes on.
    pub fn run(&mut self, at: Revision) -> Result<(), Error> {
        let failed = |error: io::Error| {
            let doing = format!("write a snapshot of revision {at} in {}", self.disk.path().display());
            if is_full(&error) { Error::Full { doing } } else { Error::failed(doing, error) }
        };
        let bytes = self.write(at).map_err(failed)?;
        let replaced = self.snapshot.replace((at, bytes));
        self.remove_replaced(at, replaced).map_err(failed)
    }

    fn write(&self, at: Revision) -> io::Result<u64> {
        let unfinished = FileName::Unfinished(at).to_string();
        let written = self.write_file(&unfinished, at);
        if written.is_err() {
            // Opening the store removes it too; here it makes room at once.
            let _ = self.disk.remove(&unfinished);
        }
        let bytes = written?;
        self.disk.rename(&unfinished, &FileName::Snapshot(at).to_string())?;
        self.disk.sync()?;
        Ok(bytes)
    }

    fn write_file(&self, name: &str, at: Revision) -> io::Result<u64> {
        let mut writer = SnapshotWriter { file: self.disk.create(name)?, end: 0, frame: Frame::default() };
        writer.frame.push(&Item::Begin(at));
        let (mut count, mut after) = (0, None);
        loop {
            let chunk = self.shared.read(|index| index.live_at(after.as_deref(), at, CHUNK_ENTRIES));
            let Some((last, _, _)) = chunk.last() else { break };
            after = Some(last.clone());
            for (key, revision, live) in &chunk {
                writer.frame.push_change(key, *revision, Some(live));
                writer.flush_if_large()?;
                count += 1;
            }
        }
        writer.frame.push(&Item::End(count));
        writer.flush()?;
        writer.file.sync()?;
        Ok(writer.end)
    }

    fn remove_replaced(&self, at: Revision, snapshot: Option<(Revision, u64)>) -> io::Result<()> {
        if let Some((revision, _)) = snapshot {
            self.disk.remove(&FileName::Snapshot(revision).to_string())?;
        }
        // Oldest first: what is left after a crash is still without a gap.
        loop {
            let oldest = self.sealed.lock().first().filter(|segment| segment.last <= at).cloned();
            let Some(oldest) = oldest else { break };
            self.disk.remove(&oldest.name)?;
            self.sealed.lock().remove(0);
        }
        self.disk.sync()
    }
}

/// Frames of a snapshot are about this long.
const FRAME_BYTES: usize = 256 << 10;

struct SnapshotWriter {
    file: Box<dyn DiskFile>,
    end: u64,
    frame: Frame,
}

impl SnapshotWriter {
    fn flush_if_large(&mut self) -> io::Result<()> {
        if self.frame.len() < FRAME_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = self.frame.finish();
        self.file.write_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        self.frame.clear();
        Ok(())
    }
}
