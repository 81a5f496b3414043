//! What a kubelet is told when it starts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use client::serving::Certificate;
use k8s_openapi::api::core::v1::Taint;

/// Upstream's port of the kubelet's server.
pub const PORT: u16 = 10250;
/// The version of Kubernetes that this node speaks.
pub const VERSION: &str = "v1.36.2";

/// Everything that is decided outside the kubelet.
#[derive(Debug, Clone)]
pub struct KubeletOptions {
    /// The node's name; the machine's host name if empty.
    pub node_name: String,
    /// The node's addresses, the first one first; found out if empty.
    pub node_ips: Vec<IpAddr>,
    /// Upstream's `/var/lib/kubelet`.
    pub root_dir: PathBuf,
    /// Upstream's `/var/log`: `pods` and `containers` are made inside.
    pub logs_dir: PathBuf,
    /// Which container runtime.
    pub runtime: RuntimeChoice,
    /// Addresses of the cluster's DNS.
    pub cluster_dns: Vec<String>,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// The resolv.conf that pods with the node's DNS get; empty for none.
    pub resolv_conf: PathBuf,
    /// The cgroup below which `kubepods` is made.
    pub cgroup_root: String,
    /// Where the server listens; port 0 takes a free one.
    pub bind: std::net::SocketAddr,
    /// The server's certificate; made by itself if absent.
    pub tls: Option<Certificate>,
    /// Who signs the certificates of those who may ask the server, as PEM; nobody may if absent.
    pub client_ca: Option<String>,
    /// At most so many pods.
    pub max_pods: u32,
    /// Labels for the node.
    pub node_labels: BTreeMap<String, String>,
    /// Taints for the node when it first registers.
    pub register_with_taints: Vec<Taint>,
    /// A container's log is rotated when it grows over this.
    pub container_log_max_bytes: u64,
    /// So many files a container's log may have.
    pub container_log_max_files: usize,
}

/// Whose containers.
#[derive(Debug, Clone)]
pub enum RuntimeChoice {
    /// A runtime that somebody else runs, by its socket.
    Endpoint(String),
    /// Our own containerd.
    Containerd {
        /// Where it keeps everything.
        data_dir: PathBuf,
        /// Where the CNI plugins are.
        cni_bin_dir: PathBuf,
        /// Where the network writes its CNI configuration.
        cni_conf_dir: PathBuf,
    },
}

impl Default for KubeletOptions {
    fn default() -> Self {
        Self {
            node_name: String::new(),
            node_ips: Vec::new(),
            root_dir: "/var/lib/kubelet".into(),
            logs_dir: "/var/log".into(),
            runtime: RuntimeChoice::Endpoint("unix:///run/containerd/containerd.sock".to_owned()),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            cgroup_root: "/".to_owned(),
            bind: (IpAddr::from([0, 0, 0, 0]), PORT).into(),
            tls: None,
            client_ca: None,
            max_pods: 110,
            node_labels: BTreeMap::new(),
            register_with_taints: Vec::new(),
            container_log_max_bytes: 10 << 20,
            container_log_max_files: 5,
        }
    }
}
