//! Where things lie on the node: the kubelet's directory and the logs', as upstream lays them out.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::pod::spec;

/// The node's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Upstream's `/var/lib/kubelet`.
    pub root: PathBuf,
    /// Upstream's `/var/log`: `pods` and `containers` are inside.
    pub logs: PathBuf,
}

impl Directories {
    /// All pods' directories.
    #[must_use]
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// One pod's directory.
    #[must_use]
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// A pod's volume made by `plugin` (`empty-dir`, `configmap`, …).
    #[must_use]
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// Bind mounts of parts of volumes.
    #[must_use]
    pub fn sub_paths(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volume-subpaths")
    }

    /// What the kubelet keeps for a container: its last words.
    #[must_use]
    pub fn container(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("containers").join(container)
    }

    /// The pod's hosts file.
    #[must_use]
    pub fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// Where seccomp profiles of the node lie.
    #[must_use]
    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// All pods' logs.
    #[must_use]
    pub fn pod_logs(&self) -> PathBuf {
        self.logs.join("pods")
    }

    /// One pod's logs.
    #[must_use]
    pub fn logs_of(&self, pod: &Pod) -> PathBuf {
        self.pod_logs().join(format!("{}_{}_{}", spec::namespace(pod), spec::name(pod), spec::uid(pod)))
    }

    /// The links by which log collectors find the logs.
    #[must_use]
    pub fn log_link(&self, pod: &Pod, container: &str, id: &str) -> PathBuf {
        let name = format!("{}_{}_{container}-{id}.log", spec::name(pod), spec::namespace(pod));
        self.logs.join("containers").join(name)
    }
}

/// A run's log below its pod's log directory.
#[must_use]
pub fn log_name(container: &str, restart_count: i32) -> PathBuf {
    Path::new(container).join(format!("{restart_count}.log"))
}
