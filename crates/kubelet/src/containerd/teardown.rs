//! Ends our containerd and everything that it runs.

use std::path::Path;

use super::{Layout, orphans, process};
use crate::runtime::Runtime;

/// Stops and removes every pod of the containerd in `data_dir`, then containerd itself, then what it has left behind
/// (it may have died, or have been making a pod); leaves its files. Fine when none runs.
pub async fn stop(data_dir: &Path) {
    let layout = Layout::new(data_dir);
    if let Some(running) = process::find("containerd").and_then(|program| process::adopt(&layout, &program)) {
        if let Ok(runtime) = Runtime::new(&layout.socket().to_string_lossy()) {
            remove_pods(&runtime).await;
        }
        running.terminate().await;
    }
    orphans::remove(&layout);
    unmount_below(&layout.state());
    let _absent = std::fs::remove_file(layout.pid());
}

async fn remove_pods(runtime: &Runtime) {
    let sandboxes = match runtime.list_pod_sandboxes(&[]).await {
        Ok(sandboxes) => sandboxes,
        Err(error) => return tracing::warn!(%error, "cannot list what containerd runs"),
    };
    let removals = sandboxes.iter().map(|sandbox| async {
        let stopped = runtime.stop_pod_sandbox(&sandbox.id).await;
        let removed = runtime.remove_pod_sandbox(&sandbox.id).await;
        if let Err(error) = stopped.and(removed) {
            tracing::warn!(%error, id = sandbox.id, "cannot remove a pod's sandbox");
        }
    });
    futures::future::join_all(removals).await;
}

/// Unmounts all that is mounted below `dir`, deepest first.
fn unmount_below(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut below: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    below.retain(|point| Path::new(point).starts_with(dir));
    for point in below.iter().rev() {
        let _busy = nix::mount::umount2(*point, nix::mount::MntFlags::MNT_DETACH);
    }
}
