//! Where the members of an etcd cluster are, how to reach them, and which keys are ours.

use std::path::PathBuf;

/// What the engine is told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The members' client URLs: `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// The files for TLS.
    pub tls: TlsFiles,
    /// What the callers' keys begin with, where the cluster has another beginning for them.
    pub rename: Option<Rename>,
}

/// Files in PEM. They are read anew for each connection, so that renewed ones count from the next connection on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whose certificates members show; the system's authorities if none.
    pub authority: Option<PathBuf>,
    /// The certificate by which we show ourselves.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Keys that begin with `ours` begin with `theirs` in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// How callers begin their keys: `/registry`.
    pub ours: String,
    /// How the cluster has them: `/registry-of-another-cluster`.
    pub theirs: String,
}
