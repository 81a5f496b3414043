//! Directories and files of the cgroup file systems.

use std::io;
use std::path::{Path, PathBuf};

use super::CgroupError;
use crate::pod::resources::{self, PodResources};

/// The controllers that pods need in a unified tree.
const UNIFIED_CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// How this machine mounts its controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// cgroup v2: one tree.
    Unified(PathBuf),
    /// cgroup v1: a tree for each controller (or several), by mount point and controllers.
    Split(Vec<(PathBuf, Vec<String>)>),
}

impl Hierarchy {
    /// Reads /proc/self/mounts. A hybrid machine, whose controllers are in v1 trees, counts as split.
    pub(super) fn from_mounts(mounts: &str) -> Option<Self> {
        let mut split = Vec::new();
        let mut unified = None;
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(point), Some(kind), Some(options)) = (words.next(), words.next(), words.next()) else { continue };
            match kind {
                "cgroup2" => unified = unified.or_else(|| Some(PathBuf::from(point))),
                "cgroup" => split.push((PathBuf::from(point), options.split(',').map(str::to_owned).collect())),
                _ => {}
            }
        }
        let has_memory =
            split.iter().any(|(_, options): &(_, Vec<String>)| options.iter().any(|option| option == "memory"));
        if !has_memory {
            return unified.map(Self::Unified);
        }
        // The runtime makes its cgroups in the empty unified tree of a hybrid machine, too.
        split.extend(unified.map(|point| (point, Vec::new())));
        Some(Self::Split(split))
    }

    pub(super) fn make(&self, name: &str) -> Result<(), CgroupError> {
        match self {
            Self::Unified(root) => {
                let mut dir = root.clone();
                for part in Path::new(name.trim_start_matches('/')) {
                    enable_controllers(&dir)?;
                    dir.push(part);
                    make_dir(&dir)?;
                }
                enable_controllers(&dir)
            }
            // The runtime makes the rest of the trees when it needs them.
            Self::Split(_) => {
                ["cpu", "memory", "pids"].iter().filter_map(|name| self.controller(name)).try_for_each(|root| {
                    let dir = join(root, name);
                    std::fs::create_dir_all(&dir).map_err(at(&dir))
                })
            }
        }
    }

    pub(super) fn set(&self, name: &str, to: &PodResources) -> Result<(), CgroupError> {
        let quota = to.cpu_quota.filter(|quota| *quota > 0);
        match self {
            Self::Unified(root) => {
                let dir = join(root, name);
                write(&dir.join("cpu.weight"), &resources::cpu_weight(to.cpu_shares).to_string())?;
                let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
                write(&dir.join("cpu.max"), &format!("{quota} {}", resources::CPU_PERIOD_US))?;
                write(&dir.join("memory.max"), &to.memory_limit.map_or("max".to_owned(), |limit| limit.to_string()))
            }
            Self::Split(_) => {
                if let Some(root) = self.controller("cpu") {
                    let dir = join(root, name);
                    write(&dir.join("cpu.shares"), &to.cpu_shares.to_string())?;
                    write(&dir.join("cpu.cfs_period_us"), &resources::CPU_PERIOD_US.to_string())?;
                    write(&dir.join("cpu.cfs_quota_us"), &quota.unwrap_or(-1).to_string())?;
                }
                match self.controller("memory") {
                    Some(root) => write(
                        &join(root, name).join("memory.limit_in_bytes"),
                        &to.memory_limit.unwrap_or(-1).to_string(),
                    ),
                    None => Ok(()),
                }
            }
        }
    }

    /// Removes a cgroup and those in it; one with processes stays.
    pub(super) fn remove(&self, name: &str) {
        for root in self.roots() {
            remove_tree(&join(root, name));
        }
    }

    pub(super) fn children(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = self.roots().flat_map(|root| directories(&join(root, name))).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn roots(&self) -> impl Iterator<Item = &Path> {
        let (one, many) = match self {
            Self::Unified(root) => (Some(root.as_path()), [].as_slice()),
            Self::Split(roots) => (None, roots.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|(root, _)| root.as_path()))
    }

    fn controller(&self, name: &str) -> Option<&Path> {
        let Self::Split(roots) = self else { return None };
        let root = roots.iter().find(|(_, options)| options.iter().any(|option| option == name));
        root.map(|(root, _)| root.as_path())
    }
}

fn enable_controllers(dir: &Path) -> Result<(), CgroupError> {
    let available = std::fs::read_to_string(dir.join("cgroup.controllers")).map_err(at(dir))?;
    let enabled = std::fs::read_to_string(dir.join("cgroup.subtree_control")).map_err(at(dir))?;
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    for name in UNIFIED_CONTROLLERS.into_iter().filter(|name| has(&available, name) && !has(&enabled, name)) {
        write(&dir.join("cgroup.subtree_control"), &format!("+{name}"))?;
    }
    Ok(())
}

fn make_dir(dir: &Path) -> Result<(), CgroupError> {
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(dir)(error)),
        _ => Ok(()),
    }
}

fn remove_tree(dir: &Path) {
    for child in directories(dir) {
        remove_tree(&dir.join(child));
    }
    let _busy_or_absent = std::fs::remove_dir(dir);
}

fn directories(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn write(file: &Path, text: &str) -> Result<(), CgroupError> {
    std::fs::write(file, text).map_err(at(file))
}

fn join(root: &Path, name: &str) -> PathBuf {
    root.join(name.trim_start_matches('/'))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |source| CgroupError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_split_hybrid_and_unified() {
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(Hierarchy::from_mounts(unified), Some(Hierarchy::Unified("/sys/fs/cgroup".into())));
        let found = Hierarchy::from_mounts(hybrid).unwrap();
        assert_eq!(found.controller("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu")));
        assert_eq!(found.roots().count(), 3);
        assert_eq!(Hierarchy::from_mounts("proc /proc proc rw 0 0\n"), None);
    }
}
