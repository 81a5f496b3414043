//! What the operator may choose.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::Publication;

/// Where questions about other names go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// To these servers, in order.
    Servers(Vec<SocketAddr>),
    /// To the servers that this file names; it is read again whenever it is needed.
    ResolvConf(PathBuf),
}

/// How cluster DNS answers.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen, UDP and TCP alike. Each should be one address, not all: an answer must come from where the
    /// question went.
    pub listen: Vec<SocketAddr>,
    /// The cluster's domain, without dots around it.
    pub cluster_domain: String,
    /// The cluster IP under which pods know this server: never asked as an upstream.
    pub cluster_ip: Option<IpAddr>,
    /// How the cluster gets to know this server; if none, somebody else sees to that.
    pub publication: Option<Publication>,
    /// Who knows the rest.
    pub upstream: Upstream,
}

impl Options {
    /// `cluster.local`, and the host's resolv.conf for the rest.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            cluster_domain: "cluster.local".to_owned(),
            cluster_ip: None,
            publication: None,
            upstream: Upstream::ResolvConf(PathBuf::from("/etc/resolv.conf")),
        }
    }
}
