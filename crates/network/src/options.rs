//! What the operator may choose.

use std::path::PathBuf;

use ipnet::IpNet;

/// How pods of one node are networked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name of the Node object.
    pub node_name: String,
    /// Where the CNI configuration goes: the runtime's `conf_dir`.
    pub conf_dir: PathBuf,
    /// Where CNI plugins may lie, first match first: the runtime's `bin_dir` must be the one that has them.
    pub plugin_dirs: Vec<PathBuf>,
    /// Where addresses in use and changed kernel settings are remembered.
    pub state_dir: PathBuf,
    /// The node's pod ranges as long as `node.spec.podCIDRs` names none.
    pub pod_cidrs: Vec<IpNet>,
    /// The ranges of all pods (`--cluster-cidr`): what leaves them is masqueraded.
    pub cluster_cidrs: Vec<IpNet>,
    /// The links' MTU; none: the kernel's default.
    pub mtu: Option<u32>,
}

impl Options {
    /// The usual places, with the state under `state_dir`.
    #[must_use]
    pub fn new(node_name: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            node_name: node_name.into(),
            conf_dir: PathBuf::from("/etc/cni/net.d"),
            plugin_dirs: vec![PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")],
            state_dir: state_dir.into(),
            pod_cidrs: Vec::new(),
            cluster_cidrs: Vec::new(),
            mtu: None,
        }
    }
}
