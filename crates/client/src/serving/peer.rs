//! Who is at the other end of a connection.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The group of everybody who said who they are.
const AUTHENTICATED: &str = "system:authenticated";

/// A user and their groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// The name.
    pub name: String,
    /// What tells users of one name apart; empty for certificates.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl User {
    /// Somebody who does not say who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        let groups = vec!["system:unauthenticated".to_owned()];
        Self { name: "system:anonymous".to_owned(), uid: String::new(), groups }
    }
}

/// Who showed a certificate that counts.
#[derive(Debug)]
pub struct Peer(pub Option<User>);

impl Peer {
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, session) = stream.get_ref();
        Self(session.peer_certificates().and_then(|chain| user(chain.first()?)))
    }
}

/// The common name is the user, the organizations are the groups.
fn user(certificate: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned));
    Some(User { name, uid: String::new(), groups: groups.chain([AUTHENTICATED.to_owned()]).collect() })
}
