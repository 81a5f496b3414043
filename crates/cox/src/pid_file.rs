//! The file in the data directory that names the server's process, locked for as long as it runs.
//!
//! Invariant: the lock, not the number, says whether a server runs: a number may belong to another program by now.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Its name in the data directory.
const NAME: &str = "cox.pid";

/// Held by the one server of a data directory; the kernel lets go of it when the process ends, however it ends.
pub struct PidFile {
    _locked: File,
}

impl PidFile {
    /// Claims the data directory for this process.
    ///
    /// # Errors
    /// When another server has it, or the file cannot be written.
    pub fn claim(data_dir: &Path) -> Result<Self> {
        let mut file = open(data_dir).with_context(|| format!("opening {NAME} in {}", data_dir.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid =
                    number(&mut file).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                bail!("{pid} runs the cluster in {} already", data_dir.display());
            }
            Err(TryLockError::Error(error)) => return Err(error).context("locking the process file"),
        }
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).context("noting the process")?;
        Ok(Self { _locked: file })
    }

    /// The process that runs the cluster in `data_dir`, if one does.
    ///
    /// # Errors
    /// When the file is there and cannot be examined.
    pub fn holder(data_dir: &Path) -> Result<Option<i32>> {
        if !data_dir.join(NAME).exists() {
            return Ok(None);
        }
        let mut file = open(data_dir).context("opening the process file")?;
        match file.try_lock() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => number(&mut file).context("the process file names no process").map(Some),
            Err(TryLockError::Error(error)) => Err(error).context("looking at the process file"),
        }
    }
}

fn open(data_dir: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(data_dir.join(NAME))
}

fn number(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_directory_and_a_stale_number_counts_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(PidFile::holder(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join(NAME), "1").unwrap();
        assert_eq!(PidFile::holder(dir.path()).unwrap(), None);

        let held = PidFile::claim(dir.path()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(PidFile::holder(dir.path()).unwrap(), Some(own));
        let refused = PidFile::claim(dir.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(refused, format!("process {own} runs the cluster in {} already", dir.path().display()));

        drop(held);
        assert_eq!(PidFile::holder(dir.path()).unwrap(), None);
    }
}
