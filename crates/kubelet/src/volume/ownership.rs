//! A volume's group, for containers that do not run as root (fsGroup).

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::spec;

/// The group that shall own the pod's volumes.
pub(super) fn fs_group(pod: &Pod) -> Option<u32> {
    let group = spec::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// Gives a directory and all in it to the group: readable and writable, new files too.
pub(super) fn give(path: &Path, group: u32) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.file_type().is_symlink() {
        return std::os::unix::fs::lchown(path, None, Some(group));
    }
    std::os::unix::fs::chown(path, None, Some(group))?;
    let more = if metadata.is_dir() { 0o2770 } else { 0o660 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(metadata.mode() & 0o7777 | more))?;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), group)?;
        }
    }
    Ok(())
}
