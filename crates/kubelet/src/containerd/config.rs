//! The configuration file that fits containerd to this machine.

use std::path::{Path, PathBuf};

use super::Layout;
use crate::pause;

/// What the machine and the network decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the CNI plugins are.
    pub cni_bin_dir: PathBuf,
    /// Where the network writes its CNI configuration.
    pub cni_conf_dir: PathBuf,
    /// Whether containers' OOM scores may not go below our own: we lack CAP_SYS_RESOURCE.
    pub restrict_oom_score_adj: bool,
    /// `overlayfs`, or `native` where the data directory's file system cannot carry an overlay.
    pub snapshotter: &'static str,
}

impl Settings {
    /// Looks at this machine.
    #[must_use]
    pub fn detect(data_dir: &Path, cni_bin_dir: &Path, cni_conf_dir: &Path) -> Self {
        Self {
            cni_bin_dir: cni_bin_dir.to_owned(),
            cni_conf_dir: cni_conf_dir.to_owned(),
            restrict_oom_score_adj: !has_sys_resource(&read("/proc/self/status")),
            snapshotter: if carries_overlay(data_dir) { "overlayfs" } else { "native" },
        }
    }
}

/// The configuration in containerd's version 2 form, which containerd 1.6 to 2.x read.
pub(super) fn text(layout: &Layout, settings: &Settings) -> String {
    let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());
    format!(
        r#"# Written by cox at every start.
version = 2
root = {root}
state = {state}

[grpc]
  address = {socket}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = {restrict}
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {bin}
    conf_dir = {conf}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#,
        root = quoted(&layout.dir.join("root")),
        state = quoted(&layout.state()),
        socket = quoted(&layout.socket()),
        pause = pause::IMAGE,
        restrict = settings.restrict_oom_score_adj,
        bin = quoted(&settings.cni_bin_dir),
        conf = quoted(&settings.cni_conf_dir),
        snapshotter = settings.snapshotter,
    )
}

/// CAP_SYS_RESOURCE is capability 24.
fn has_sys_resource(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|caps| caps & 1 << 24 != 0)
}

/// An overlay cannot have its upper layer on another overlay, as inside a container.
fn carries_overlay(dir: &Path) -> bool {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let known = read("/proc/filesystems").lines().any(|line| line.ends_with("\toverlay"));
    let on_overlay = nix::sys::statfs::statfs(existing)
        .is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC);
    known && !on_overlay
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_when_the_oom_score_is_restricted() {
        assert!(!has_sys_resource("Name:\tx\nCapEff:\t000001fffeffffff\n"));
        assert!(has_sys_resource("Name:\tx\nCapEff:\t000001ffffffffff\n"));
    }

    #[test]
    fn names_every_path() {
        let settings = Settings {
            cni_bin_dir: "/usr/lib/cni".into(),
            cni_conf_dir: "/d/cni".into(),
            restrict_oom_score_adj: true,
            snapshotter: "overlayfs",
        };
        let text = text(&Layout::new(Path::new("/d")), &settings);
        for part in [
            "root = \"/d/containerd/root\"",
            "address = \"/d/containerd/containerd.sock\"",
            "restrict_oom_score_adj = true",
            "conf_dir = \"/d/cni\"",
            "sandbox_image = \"registry.k8s.io/pause:3.10\"",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
