//! Client certificates: the common name is the user, organizations are groups (RFC 5280).
//!
//! To check signatures costs more than all else that a request needs, and connections show the same chain with each of
//! theirs; so what a chain has proved is kept for as long as its certificates are valid.

use std::collections::HashMap;
use std::sync::Arc;

use base::metrics::{Histogram, Registry, alpha};
use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use std::time::Duration;

use crate::User;

/// So many chains are remembered; when there are more, all are forgotten and proved anew.
const KNOWN_CHAINS: usize = 4096;

/// How long a certificate may still hold, in seconds: from nothing to a year.
const REMAINING: [f64; 14] = [
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];

/// Certificates to trust that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificates that clients are checked against cannot be used: {0}")]
pub struct BadRoots(String);

/// By chain: whom it has proved to speak for, and the second after which it no longer does.
type Proved<'c> = HashMap<Vec<CertificateDer<'c>>, (User, i64)>;

/// Checks client certificates against a set of certificates.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
    known: Arc<Mutex<Proved<'static>>>,
    registry: Registry,
    /// How long the certificates that are shown still hold.
    remaining: Arc<Histogram>,
}

impl ClientCertificates {
    /// Trusts what `roots` signed.
    ///
    /// # Errors
    /// When one of `roots` is no certificate, or there is none.
    pub fn new(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, BadRoots> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|error| BadRoots(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
        let verifier = verifier.map_err(|error| BadRoots(error.to_string()))?;
        let registry = Registry::new();
        let about = alpha(
            "apiserver_client_certificate_expiration_seconds",
            "How long the certificates that clients show still hold.",
        );
        let remaining = registry.histogram(about, &REMAINING);
        Ok(Self { verifier, known: Arc::default(), registry, remaining })
    }

    /// What is counted of them.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// What a TLS listener asks of its clients: any certificate whose key they hold, or none. Whether it counts is
    /// decided request by request, so that a stranger gets an answer (401) rather than a broken connection.
    #[must_use]
    pub fn listener(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(AskOnly(Arc::clone(&self.verifier)))
    }

    /// Whom the certificate speaks for.
    ///
    /// # Errors
    /// When it is not trusted, has expired, is not for clients, or names nobody.
    pub fn user(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<User, String> {
        if let Some(user) = self.known_user(chain, now) {
            return Ok(user);
        }
        let user = self.prove(chain, now)?;
        let until = valid_until(chain)?;
        self.note(until, now);
        let mut known = self.known.lock();
        if known.len() >= KNOWN_CHAINS {
            known.clear();
        }
        known.insert(chain.iter().map(|one| one.clone().into_owned()).collect(), (user.clone(), until));
        Ok(user)
    }

    fn known_user<'c>(&self, chain: &[CertificateDer<'c>], now: Timestamp) -> Option<User> {
        let known = self.known.lock();
        let known: &Proved<'c> = &known;
        let (user, until) = known.get(chain)?;
        (now.as_second() <= *until).then(|| {
            self.note(*until, now);
            user.clone()
        })
    }

    fn note(&self, until: i64, now: Timestamp) {
        #[allow(clippy::cast_precision_loss, reason = "buckets are coarser than that")]
        self.remaining.observe((until - now.as_second()) as f64);
    }

    fn prove(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<User, String> {
        let Some((certificate, intermediates)) = chain.split_first() else { return Err("no certificate".to_owned()) };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
        self.verifier.verify_client_cert(certificate, intermediates, now).map_err(|error| error.to_string())?;
        read_user(certificate)
    }
}

/// The second in which the first certificate of a chain expires.
fn valid_until(chain: &[CertificateDer<'_>]) -> Result<i64, String> {
    let mut until = i64::MAX;
    for certificate in chain {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
        until = until.min(parsed.validity().not_after.timestamp());
    }
    Ok(until)
}

fn read_user(certificate: &CertificateDer<'_>) -> Result<User, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if name.is_empty() {
        return Err("the certificate has no common name".to_owned());
    }
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned).collect();
    let fingerprint = hex::encode(Sha256::digest(certificate));
    let extra = [("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={fingerprint}")])];
    Ok(User { name: name.to_owned(), groups, extra: extra.into(), uid: String::new() })
}

/// Asks for a certificate and checks only that the client holds its key.
#[derive(Debug)]
struct AskOnly(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;

    use super::*;
    use crate::certificates::{Authority, Profile};

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn whom_certificates_speak_for() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2028-01-01T00:00:00Z".parse().unwrap();
        let (ours, theirs) = (Authority::make(now), Authority::make(now));
        let clients = ClientCertificates::new([der(ours.certificate_pem())]).unwrap();
        let chain =
            |authority: &Authority, profile: &Profile| vec![der(&authority.issue(profile, now).certificate_pem)];
        let show = |chain: &[CertificateDer<'_>], when| match clients.user(chain, when) {
            Ok(user) => format!("{} {:?}", user.name, user.groups),
            Err(why) => why,
        };
        let shown = [
            show(&chain(&ours, &Profile::admin()), now),
            show(&chain(&ours, &Profile::node("n1")), now),
            show(&chain(&theirs, &Profile::admin()), now),
            show(&chain(&ours, &Profile::admin()), later).split(':').next().unwrap().to_owned(),
            show(&chain(&ours, &Profile::serving(&["localhost".to_owned()])), now)
                .split(':')
                .next()
                .unwrap()
                .to_owned(),
        ];
        expect_test::expect![[r#"
            kubernetes-admin ["system:masters"]
            system:node:n1 ["system:nodes"]
            invalid peer certificate: BadSignature
            invalid peer certificate
            invalid peer certificate"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn what_is_remembered_expires_with_the_certificate() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let authority = Authority::make(now);
        let clients = ClientCertificates::new([der(authority.certificate_pem())]).unwrap();
        let chain = [der(&authority.issue(&Profile::admin(), now).certificate_pem)];
        assert_eq!(clients.user(&chain, now).unwrap(), clients.user(&chain, now).unwrap());
        assert_eq!(clients.known.lock().len(), 1);
        assert!(clients.user(&chain, "2028-01-01T00:00:00Z".parse().unwrap()).is_err());
    }
}
