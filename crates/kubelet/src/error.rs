//! Why a kubelet cannot start.

use std::io;
use std::path::PathBuf;

use crate::cgroups::CgroupError;
use crate::containerd::ContainerdError;
use crate::runtime::RuntimeError;

/// A kubelet cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not root.
    #[error("a kubelet must run as root")]
    NotRoot,
    /// The cgroup tree cannot be made.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Our own containerd does not come up.
    #[error(transparent)]
    Containerd(#[from] ContainerdError),
    /// The runtime's endpoint is none.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A directory cannot be made.
    #[error("making {path}: {source}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No address for the node.
    #[error("the node's address cannot be found out: give it with --node-ip")]
    NoAddress,
    /// The server cannot listen, or its certificates cannot be used.
    #[error("the kubelet's server: {0}")]
    Server(#[from] client::serving::Error),
}
