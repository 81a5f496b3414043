//! How components are asked: an HTTPS server of their own, open to those whom the API server lets.
//!
//! [`Listener`] has the socket and the certificates, [`Delegated`] asks the API server who somebody is and what they
//! may, and [`Status`] is what every component of a control plane answers: health for everybody, metrics for some.

mod answer;
mod delegated;
mod listener;
mod peer;
mod status;
mod tls;

pub use answer::{json, text};
pub use delegated::{Delegated, Question, Trust};
pub use listener::Listener;
pub use peer::{Peer, User};
pub use status::{Check, Status, exposed};

use std::net::SocketAddr;

/// A certificate chain and its key, both as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, the own certificate first.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    /// The key is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// How a server is reached and whom it believes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// What it shows; without it, it makes its own, for [`Settings::names`].
    pub certificate: Option<Certificate>,
    /// The names and addresses in a certificate of its own making.
    pub names: Vec<String>,
    /// Who signs clients' certificates, as PEM; none are believed without it.
    pub client_ca: Option<String>,
    /// So many connections at a time; more wait to be accepted.
    pub connections: usize,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be had.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("the server's certificates: {0}")]
    Certificate(String),
}
