//! What a containerd has left that died, or was ended while it made a pod: its shims go on without it, with all that
//! runs in them.

use std::path::{Path, PathBuf};

use machinery::{Value, json};
use nix::errno::Errno;
use nix::mount::MntFlags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};

use super::Layout;

/// The containerd namespace of all that CRI makes.
const NAMESPACE: &str = "k8s.io";
const SHIM: &str = "containerd-shim-runc-v2";
/// Where runc keeps its containers when a shim calls it, and shims keep their sockets.
const RUNC_ROOT: &str = "/run/containerd/runc/k8s.io";
const SHIM_SOCKETS: &str = "/run/containerd/s";
/// Where CRI keeps the network namespaces of pods, and how it names them.
const NETWORK_NAMESPACES: [&str; 2] = ["/var/run/netns/cni-", "/run/netns/cni-"];

/// Ends the shims of the containerd in `layout` and removes what ran in them. It must not run any more.
pub(super) fn remove(layout: &Layout) {
    let socket = layout.socket();
    for (pid, id) in shims(&socket) {
        match kill(pid, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(%pid, %error, "cannot end a shim"),
        }
        let name = Sha256::digest(socket.join(NAMESPACE).join(&id).as_os_str().as_encoded_bytes());
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let _absent = std::fs::remove_file(Path::new(SHIM_SOCKETS).join(hex));
    }
    for bundle in bundles(layout) {
        remove_container(&bundle);
    }
}

/// The shims that report to this socket, each with the pod that it is for.
fn shims(socket: &Path) -> Vec<(Pid, String)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found = numbers.filter_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
        let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).cloned();
        let is_shim = Path::new(words.first()?).file_name()? == SHIM;
        let is_ours = after("-address").is_some_and(|address| Path::new(&address) == socket);
        (is_shim && is_ours).then(|| (Pid::from_raw(pid), after("-id").unwrap_or_default()))
    });
    found.collect()
}

/// The folders of the containers that were made and not removed.
fn bundles(layout: &Layout) -> Vec<PathBuf> {
    let folder = layout.state().join("io.containerd.runtime.v2.task").join(NAMESPACE);
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Kills what runs in a container and lets go of its network namespace.
fn remove_container(bundle: &Path) {
    let Some(id) = bundle.file_name() else { return };
    let removed = std::process::Command::new("runc").args(["--root", RUNC_ROOT, "delete", "--force"]).arg(id).output();
    if let Err(error) = removed {
        tracing::warn!(%error, "cannot run runc");
    }
    let Some(namespace) = network_namespace(bundle) else { return };
    // It is in use by no process any more, so it goes with its last name.
    let _absent = nix::mount::umount2(&namespace, MntFlags::MNT_DETACH);
    let _absent = std::fs::remove_file(&namespace);
}

/// The network namespace that CRI made for a pod, as its container's configuration tells it.
fn network_namespace(bundle: &Path) -> Option<PathBuf> {
    let config = json::parse(&std::fs::read(bundle.join("config.json")).ok()?).ok()?;
    let namespaces = config.items_at(&["linux", "namespaces"]);
    let network =
        namespaces.iter().find(|namespace| namespace.get("type").and_then(Value::as_str) == Some("network"))?;
    let path = network.str_at(&["path"])?;
    NETWORK_NAMESPACES.iter().any(|prefix| path.starts_with(prefix)).then(|| path.into())
}
