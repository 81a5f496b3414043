//! Certificates and keys on disk: readable by their owner only, and never half written.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Error, Pair};

/// What only the owner may read and write.
const PRIVATE: u32 = 0o600;
/// A folder that only the owner may enter.
const PRIVATE_FOLDER: u32 = 0o700;

/// The text of a file; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read(path.to_owned(), error)),
    }
}

/// Writes a file that only its owner reads: aside first, synced, then renamed into place.
///
/// # Errors
/// When the disk says no.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error| Error::Write(path.to_owned(), error);
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder).map_err(failed)?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    // A leftover of a crash could be readable by others; a new file cannot.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&aside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&aside, path).map_err(failed)
}

/// The paths of a pair's certificate and key.
pub(super) fn paths(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")))
}

/// A pair of files; `None` when neither is there.
pub(super) fn read_pair(certificate: &Path, key: &Path) -> Result<Option<Pair>, Error> {
    match (read(certificate)?, read(key)?) {
        (Some(certificate_pem), Some(key_pem)) => Ok(Some(Pair { certificate_pem, key_pem })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::Broken(key.to_owned(), "it is missing, but its certificate is there".to_owned())),
        (None, Some(_)) => Err(Error::Broken(certificate.to_owned(), "it is missing, but its key is there".to_owned())),
    }
}

/// Keeps a pair. The key goes first: a crash between the two leaves a pair that is seen to be broken, not a stale one.
pub(super) fn write_pair(certificate: &Path, key: &Path, pair: &Pair) -> Result<(), Error> {
    write_private(key, &pair.key_pem)?;
    write_private(certificate, &pair.certificate_pem)
}
