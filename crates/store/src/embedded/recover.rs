//! Rebuilds the index from the files: the newest snapshot, then the log.
//!
//! Invariant: what is dropped was never acknowledged. Only the last frame of the last segment can be that; everything
//! else that cannot be read is damage, and the store does not open.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use super::disk::Disk;
use super::frame::{self, Found, HEADER, Item};
use super::log::Sealed;
use super::names::FileName;
use crate::index::Index;
use crate::plan::Record;
use crate::{Error, Revision};

/// A store as the files hold it.
pub struct Recovered {
    /// What it holds.
    pub index: Index,
    /// The snapshot that it began with, and its length.
    pub snapshot: Option<(Revision, u64)>,
    /// The segments of the log, oldest first.
    pub segments: Vec<Sealed>,
    /// The number of the next segment.
    pub next_sequence: u64,
}

/// Reads everything.
///
/// # Errors
/// [`Error::Open`], [`Error::Damaged`].
pub fn recover(disk: &Arc<dyn Disk>) -> Result<Recovered, Error> {
    let files = Files::list(disk)?;
    let mut recovery = Recovery { disk, index: Index::new() };
    if let Some((revision, _)) = files.snapshot {
        recovery.read_snapshot(revision)?;
    }
    let mut segments = Vec::new();
    let newest = files.segments.last().copied();
    for sequence in files.segments {
        segments.push(recovery.read_segment(sequence, Some(sequence) == newest)?);
    }
    let next_sequence = newest.map_or(1, |newest| newest + 1);
    Ok(Recovered { index: recovery.index, snapshot: files.snapshot, segments, next_sequence })
}

struct Files {
    snapshot: Option<(Revision, u64)>,
    segments: Vec<u64>,
}

impl Files {
    /// Finds the files, and removes what was left by a snapshot that was cut short or by the removal of an old one.
    fn list(disk: &Arc<dyn Disk>) -> Result<Self, Error> {
        let failed = |error| Error::opening(format!("list {}", disk.path().display()), error);
        let (mut snapshots, mut segments, mut superfluous) = (Vec::new(), Vec::new(), Vec::new());
        for (name, bytes) in disk.list().map_err(failed)? {
            match FileName::parse(&name) {
                Some(FileName::Segment(sequence)) => segments.push(sequence),
                Some(FileName::Snapshot(revision)) => snapshots.push((revision, bytes)),
                Some(FileName::Unfinished(_)) => superfluous.push(name),
                None => {}
            }
        }
        segments.sort_unstable();
        snapshots.sort_unstable();
        let snapshot = snapshots.pop();
        superfluous.extend(snapshots.iter().map(|(revision, _)| FileName::Snapshot(*revision).to_string()));
        // The names of the files that stay must be durable before those that they replace go.
        disk.sync().map_err(failed)?;
        superfluous.iter().try_for_each(|name| disk.remove(name)).map_err(failed)?;
        Ok(Self { snapshot, segments })
    }
}

struct Recovery<'a> {
    disk: &'a Arc<dyn Disk>,
    index: Index,
}

impl Recovery<'_> {
    fn read_snapshot(&mut self, revision: Revision) -> Result<(), Error> {
        let mut file = self.open(FileName::Snapshot(revision))?;
        let (mut entries, mut ended) = (0, false);
        self.index = Index::starting_at(revision);
        while let Found::Frame(payload) = file.next()? {
            for item in frame::items(&payload) {
                match item {
                    Some(Item::Begin(begun)) if begun == revision => {}
                    Some(Item::Change(Record { key, revision: at, live: Some(live) })) if at <= revision => {
                        self.index.restore(key, at, live);
                        entries += 1;
                    }
                    Some(Item::End(count)) if count == entries => ended = true,
                    other => return Err(file.damaged(&format!("{other:?} does not belong in this snapshot"))),
                }
            }
        }
        if ended { Ok(()) } else { Err(file.damaged("the snapshot does not end as it should")) }
    }

    fn read_segment(&mut self, sequence: u64, newest: bool) -> Result<Sealed, Error> {
        let name = FileName::Segment(sequence);
        let mut file = self.open(name)?;
        loop {
            match file.next()? {
                Found::Frame(payload) => self.replay(&file, &payload)?,
                Found::End => break,
                Found::Broken(bytes) => {
                    if !newest || file.goes_on_after(bytes)? {
                        return Err(file.damaged("this is no frame, though more was written later"));
                    }
                    tracing::warn!(file = file.shown(), at = file.end, "dropped a write that was never finished");
                    break;
                }
            }
        }
        if newest {
            self.settle(name, &file)?;
        }
        Ok(Sealed { name: name.to_string(), last: self.index.revision(), bytes: file.end })
    }

    /// Cuts the segment that was written last after its last frame, and syncs it: what a killed process had written
    /// but not synced is shown from now on, so it must not vanish with the power.
    fn settle(&self, name: FileName, file: &Reading) -> Result<(), Error> {
        let failed = |error| Error::opening(format!("cut {}", file.shown()), error);
        self.disk.truncate(&name.to_string(), file.end).map_err(failed)
    }

    fn replay(&mut self, file: &Reading, payload: &[u8]) -> Result<(), Error> {
        for item in frame::items(payload) {
            match item {
                Some(Item::Change(record)) => self.replay_change(file, record)?,
                Some(Item::Compact(at)) if at <= self.index.revision() => self.index.compact(at),
                other => return Err(file.damaged(&format!("{other:?} does not belong here"))),
            }
        }
        Ok(())
    }

    fn replay_change(&mut self, file: &Reading, record: Record) -> Result<(), Error> {
        let next = self.index.revision().next();
        if record.revision < next {
            // The snapshot has it already.
            return Ok(());
        }
        if record.revision > next {
            return Err(file.damaged(&format!("revision {next} is missing before {}", record.revision)));
        }
        if record.live.is_none() && self.index.current(&record.key).is_none() {
            return Err(file.damaged(&format!("revision {next} deletes {}, which is not there", record.key)));
        }
        self.index.apply(record);
        Ok(())
    }

    fn open(&self, name: FileName) -> Result<Reading, Error> {
        let path = self.disk.path().join(name.to_string());
        let file = self.disk.read(&name.to_string());
        let file = file.map_err(|error| Error::opening(format!("read {}", path.display()), error))?;
        Ok(Reading { path, file: BufReader::with_capacity(READ_BYTES, file), end: 0 })
    }
}

/// Files are read in pieces of this size.
const READ_BYTES: usize = 256 << 10;

/// A file being read.
struct Reading {
    path: std::path::PathBuf,
    file: BufReader<Box<dyn Read + Send>>,
    /// Where the last whole frame ends.
    end: u64,
}

impl Reading {
    /// The next frame. What looks like the end but is not followed by zeros only is broken.
    fn next(&mut self) -> Result<Found, Error> {
        let found = self.try_next();
        found.map_err(|error| Error::opening(format!("read {}", self.shown()), error))
    }

    fn try_next(&mut self) -> io::Result<Found> {
        let found = frame::read(&mut self.file)?;
        match found {
            Found::Frame(payload) => {
                self.end += (HEADER + payload.len()) as u64;
                Ok(Found::Frame(payload))
            }
            Found::End => {
                let mut rest = Vec::new();
                self.file.read_to_end(&mut rest)?;
                let zeros = rest.iter().all(|byte| *byte == 0);
                Ok(if zeros { Found::End } else { Found::Broken(rest) })
            }
            Found::Broken(bytes) => Ok(Found::Broken(bytes)),
        }
    }

    /// Whether a whole frame begins after the broken place that began with `bytes`.
    fn goes_on_after(&mut self, mut bytes: Vec<u8>) -> Result<bool, Error> {
        let read = self.file.read_to_end(&mut bytes);
        read.map_err(|error| Error::opening(format!("read {}", self.shown()), error))?;
        Ok(frame::holds_frame(&bytes))
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged { file: self.path.clone(), offset: self.end, what: what.to_owned() }
    }
}
