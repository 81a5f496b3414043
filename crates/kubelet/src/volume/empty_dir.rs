//! emptyDir: a directory that lives as long as its pod, on disk or in memory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};

use super::ownership;
use crate::pod::resources;
use crate::quantity::{self, Resources};

pub(super) fn set_up(pod: &Pod, source: &EmptyDirVolumeSource, dir: PathBuf) -> Result<PathBuf, String> {
    let io = |error: std::io::Error| format!("making {}: {error}", dir.display());
    let fresh = !dir.exists();
    std::fs::create_dir_all(&dir).map_err(io)?;
    let mut changed = fresh;
    match source.medium.as_deref().unwrap_or_default() {
        "" => {}
        "Memory" if is_mounted(&dir) => {}
        "Memory" => {
            mount(pod, source, &dir)?;
            changed = true;
        }
        other => return Err(format!("unknown storage medium \"{other}\"")),
    }
    if changed {
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).map_err(io)?;
        if let Some(group) = ownership::fs_group(pod) {
            ownership::give(&dir, group).map_err(io)?;
        }
    }
    Ok(dir)
}

/// No larger than it may be, and than the pod's memory.
fn mount(pod: &Pod, source: &EmptyDirVolumeSource, dir: &Path) -> Result<(), String> {
    let own = source.size_limit.clone().map(|limit| Resources::from([("size".to_owned(), limit)]));
    let own = own.and_then(|limit| quantity::value(Some(&limit), "size")).filter(|limit| *limit > 0);
    let size = [own, resources::pod_resources(pod).memory_limit].into_iter().flatten().min();
    let options = size.map(|size| format!("size={size}"));
    nix::mount::mount(Some("tmpfs"), dir, Some("tmpfs"), nix::mount::MsFlags::empty(), options.as_deref())
        .map_err(|error| format!("mounting tmpfs at {}: {error}", dir.display()))
}

/// Whether something is mounted at `path` itself.
pub(super) fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(1)).any(|point| Path::new(point) == path)
}
