//! The server's certificate, and whose certificates it takes.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::{Certificate, Error, Settings};

/// Takes connections as `settings` say.
///
/// # Errors
/// A certificate or key cannot be read.
pub(super) fn acceptor(settings: &Settings) -> Result<TlsAcceptor, Error> {
    let own = match &settings.certificate {
        Some(given) => given.clone(),
        None => self_signed(&settings.names)?,
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(own.certificate.as_bytes()).collect::<Result<_, _>>().map_err(refuse)?;
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).map_err(refuse)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(refuse)?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
                roots.add(certificate.map_err(refuse)?).map_err(refuse)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().map_err(refuse)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(refuse)?;
    // Upgrades exist in HTTP/1.1 only.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A certificate that lives as long as the process.
fn self_signed(names: &[String]) -> Result<Certificate, Error> {
    let made = rcgen::generate_simple_self_signed(names).map_err(refuse)?;
    Ok(Certificate { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
}

fn refuse(error: impl std::fmt::Display) -> Error {
    Error::Certificate(error.to_string())
}
