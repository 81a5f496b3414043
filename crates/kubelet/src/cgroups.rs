//! The node's cgroup tree for pods: one for all, one for each lower class of service, one for each pod (cgroup v2, and
//! v1 with a tree per controller).

mod hierarchy;

use std::io;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;

use self::hierarchy::Hierarchy;
use crate::pod::resources::{self, PodResources};
use crate::pod::spec::{self, QosClass};

/// All pods live below this cgroup.
const PODS: &str = "kubepods";

/// A cgroup could not be made or set.
#[derive(Debug, thiserror::Error)]
#[error("cgroup {path}: {source}")]
pub struct CgroupError {
    path: PathBuf,
    source: io::Error,
}

/// The tree.
#[derive(Debug, Clone)]
pub struct Cgroups {
    hierarchy: Hierarchy,
    root: String,
}

impl Cgroups {
    /// The tree below the cgroup `root` (`/` for the machine's own), as this machine mounts its controllers.
    ///
    /// # Errors
    /// When no controllers are mounted.
    pub fn detect(root: &str) -> Result<Self, CgroupError> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let absent = || CgroupError {
            path: "/sys/fs/cgroup".into(),
            source: io::Error::new(io::ErrorKind::NotFound, "no cgroup file system is mounted"),
        };
        let hierarchy = Hierarchy::from_mounts(&mounts).ok_or_else(absent)?;
        Ok(Self { hierarchy, root: root.trim_end_matches('/').to_owned() })
    }

    /// Whether this is cgroup v2.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        matches!(self.hierarchy, Hierarchy::Unified(_))
    }

    /// What the runtime is told to be the parent of a pod's cgroups.
    #[must_use]
    pub fn of_pod(&self, uid: &str, class: QosClass) -> String {
        format!("{}/pod{uid}", self.of_class(class))
    }

    fn of_class(&self, class: QosClass) -> String {
        match class {
            QosClass::Guaranteed => format!("{}/{PODS}", self.root),
            QosClass::Burstable => format!("{}/{PODS}/burstable", self.root),
            QosClass::BestEffort => format!("{}/{PODS}/besteffort", self.root),
        }
    }

    /// Makes the cgroups of the classes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(&self) -> Result<(), CgroupError> {
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            self.hierarchy.make(&self.of_class(class))?;
        }
        let least = PodResources { cpu_shares: resources::MIN_CPU_SHARES, ..PodResources::default() };
        self.hierarchy.set(&self.of_class(QosClass::BestEffort), &least)
    }

    /// Gives the Burstable class the CPU weight of its pods together.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn weigh<'a>(&self, pods: impl Iterator<Item = &'a Pod>) -> Result<(), CgroupError> {
        let burstable = pods.filter(|pod| spec::qos_class(pod) == QosClass::Burstable);
        let shares: i64 = burstable.map(|pod| resources::pod_resources(pod).cpu_shares).sum();
        let sum = PodResources { cpu_shares: shares.max(resources::MIN_CPU_SHARES), ..PodResources::default() };
        self.hierarchy.set(&self.of_class(QosClass::Burstable), &sum)
    }

    /// Makes a pod's cgroup with its limits; gives its name for the runtime.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn make(&self, pod: &Pod) -> Result<String, CgroupError> {
        let name = self.of_pod(spec::uid(pod), spec::qos_class(pod));
        self.hierarchy.make(&name)?;
        self.hierarchy.set(&name, &resources::pod_resources(pod))?;
        Ok(name)
    }

    /// Removes a pod's cgroup, whichever its class.
    pub fn remove(&self, uid: &str) {
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            self.hierarchy.remove(&self.of_pod(uid, class));
        }
    }

    /// Removes the whole tree; what still has processes stays.
    pub fn remove_all(&self) {
        self.hierarchy.remove(&format!("{}/{PODS}", self.root));
        if !self.root.is_empty() {
            self.hierarchy.remove(&self.root);
        }
    }

    /// The uids of all pods that have a cgroup.
    #[must_use]
    pub fn pods(&self) -> Vec<String> {
        let classes = [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort];
        let names = classes.into_iter().flat_map(|class| self.hierarchy.children(&self.of_class(class)));
        names.filter_map(|name| name.strip_prefix("pod").map(str::to_owned)).collect()
    }
}
