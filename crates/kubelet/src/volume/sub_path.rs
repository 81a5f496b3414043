//! subPath: one file or directory of a volume, reached without following a link out of it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Binds `part` of the volume at `volume` to a place below `dir` that is this mount's own; a missing part becomes a
/// directory.
///
/// # Errors
/// When the part cannot be reached inside the volume.
pub fn bind(volume: &Path, part: &str, dir: &Path, name: &str) -> io::Result<PathBuf> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let part = open_or_make(&root, Path::new(part))?;
    let target = dir.join(name);
    release(&target);
    std::fs::create_dir_all(dir)?;
    let is_dir = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&part)?.st_mode).is_dir();
    if is_dir {
        std::fs::create_dir_all(&target)?;
    } else {
        std::fs::File::create(&target)?;
    }
    let source = PathBuf::from(format!("/proc/self/fd/{}", part.as_raw_fd()));
    mount(Some(&source), &target, None::<&OsStr>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&OsStr>)?;
    Ok(target)
}

/// Takes a binding away.
pub fn release(target: &Path) {
    let _not_mounted = nix::mount::umount2(target, nix::mount::MntFlags::MNT_DETACH);
}

/// The kernel (5.6 and later) refuses every way out of the volume.
fn open_or_make(root: &OwnedFd, part: &Path) -> io::Result<OwnedFd> {
    let open = |path: &Path| {
        rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH)
    };
    match open(part) {
        Ok(found) => return Ok(found),
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mut path = PathBuf::new();
    for name in part {
        let parent = if path.as_os_str().is_empty() { root.try_clone()? } else { open(&path)? };
        path.push(name);
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o777)) {
            Err(error) if error != rustix::io::Errno::EXIST => return Err(error.into()),
            _ => {}
        }
    }
    Ok(open(part)?)
}
