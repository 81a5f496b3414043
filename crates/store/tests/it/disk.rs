//! A disk in memory that fails when told to and loses power: what was not synced survives in random parts.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use base::Random;
use parking_lot::Mutex;
use store::embedded::disk::{Disk, DiskFile};

/// The smallest piece that is written as a whole.
const SECTOR: usize = 32;

/// What the disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Writes beyond so many bytes, all files together, find no room.
    FullAt(usize),
    /// Syncs fail, as they do when the medium breaks.
    FailingSync,
    /// Every call fails from the one so many calls from now on: the power is gone.
    PowerLossIn(usize),
}

/// Cheap to clone; all clones are one disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    fault: Fault,
    /// The names as they are, and as they are after a power loss.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    files: Vec<Contents>,
}

#[derive(Debug, Default, Clone)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Debug, Clone)]
enum Pending {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl SimDisk {
    /// Breaks, or repairs, the disk.
    pub fn set(&self, fault: Fault) {
        self.0.lock().fault = fault;
    }

    /// The files' names, oldest first.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// Changes the bytes of a file behind the store's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let id = state.names[name];
        change(&mut state.files[id].bytes);
    }

    /// What a machine finds after the power was gone: synced bytes, and some of the others.
    pub fn after_power_loss(&self, random: &Random) -> Self {
        let state = self.0.lock();
        let mut names = state.durable_names.clone();
        for (name, id) in &state.names {
            if names.get(name) != Some(id) && random.below(2) == 0 {
                names.insert(name.clone(), *id);
            }
        }
        names.retain(|name, _| state.names.contains_key(name) || random.below(2) == 0);
        let files = state.files.iter().map(|file| file.after_power_loss(random)).collect();
        let state = State { fault: Fault::None, durable_names: names.clone(), names, files };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl State {
    /// Counts a call; fails it when the power is gone.
    fn call(&mut self) -> io::Result<()> {
        match &mut self.fault {
            Fault::PowerLossIn(0) => Err(io::Error::other("the power is gone")),
            Fault::PowerLossIn(calls) => {
                *calls -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn sync_fault(&self) -> io::Result<()> {
        if self.fault == Fault::FailingSync { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    fn id(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> usize {
        self.names.values().map(|id| self.files[*id].bytes.len()).sum()
    }
}

impl Contents {
    fn apply(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
        bytes.resize(bytes.len().max(offset + written.len()), 0);
        bytes[offset..offset + written.len()].copy_from_slice(written);
    }

    fn after_power_loss(&self, random: &Random) -> Self {
        let mut bytes = self.durable.clone();
        for pending in &self.pending {
            match pending {
                Pending::Length(length) if random.below(2) == 0 => bytes.resize(*length, 0),
                Pending::Length(_) => {}
                Pending::Write(offset, written) => {
                    for (index, sector) in written.chunks(SECTOR).enumerate().filter(|_| random.below(2) == 0) {
                        Self::apply(&mut bytes, offset + index * SECTOR, sector);
                    }
                }
            }
        }
        Self { durable: bytes.clone(), bytes, pending: Vec::new() }
    }
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        Path::new("/sim")
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut state = self.0.lock();
        state.call()?;
        Ok(state.names.iter().map(|(name, id)| (name.clone(), state.files[*id].bytes.len() as u64)).collect())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let mut state = self.0.lock();
        state.call()?;
        let id = state.id(name)?;
        Ok(Box::new(Cursor::new(state.files[id].bytes.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.call()?;
        let id = state.files.len();
        state.files.push(Contents::default());
        state.names.insert(name.to_owned(), id);
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let id = self.0.lock().id(name)?;
        let mut file = SimFile { disk: self.clone(), id };
        file.set_len(length)?;
        file.sync()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        let id = state.id(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        state.id(name)?;
        state.names.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        state.sync_fault()?;
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
}

impl DiskFile for SimFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.call()?;
        let offset = usize::try_from(offset).unwrap();
        let grows = (offset + bytes.len()).saturating_sub(state.files[self.id].bytes.len());
        let room = match state.fault {
            Fault::FullAt(limit) => limit.saturating_sub(state.used()),
            _ => usize::MAX,
        };
        // What fits is written, as on a real disk.
        let fits = &bytes[..bytes.len() - grows.saturating_sub(room).min(bytes.len())];
        let file = &mut state.files[self.id];
        Contents::apply(&mut file.bytes, offset, fits);
        file.pending.push(Pending::Write(offset, fits.to_vec()));
        if fits.len() < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.call()?;
        let length = usize::try_from(length).unwrap();
        let file = &mut state.files[self.id];
        file.bytes.resize(length, 0);
        file.pending.push(Pending::Length(length));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.call()?;
        state.sync_fault()?;
        let file = &mut state.files[self.id];
        file.durable = file.bytes.clone();
        file.pending.clear();
        Ok(())
    }
}
