//! Takes a pod's directory away: bindings and memory file systems first, so that nothing behind a mount is deleted.

use std::path::Path;

use crate::directories::Directories;

/// Removes everything of the pod but its logs.
///
/// # Errors
/// When something is still in use.
pub fn tear_down(directories: &Directories, uid: &str) -> std::io::Result<()> {
    let dir = directories.pod(uid);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    for point in below.iter().rev().filter(|point| Path::new(point).starts_with(&dir)) {
        nix::mount::umount2(*point, nix::mount::MntFlags::MNT_DETACH)?;
    }
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
