//! The server's certificate, and whose certificates it takes.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::{ServerError, ServerOptions};

pub(super) fn acceptor(options: &ServerOptions) -> Result<TlsAcceptor, ServerError> {
    let (certificate, key) = match &options.certificate {
        Some((certificate, key)) => (read(certificate)?, read(key)?),
        None => self_signed(&options.bind.ip().to_string())?,
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().map_err(refuse)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(refuse)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(refuse)?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(read(authority)?.as_bytes()) {
                roots.add(certificate.map_err(refuse)?).map_err(refuse)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().map_err(refuse)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(refuse)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(path: &Path) -> Result<String, ServerError> {
    std::fs::read_to_string(path).map_err(|error| refuse(format!("{}: {error}", path.display())))
}

/// A certificate that lives as long as the process.
fn self_signed(address: &str) -> Result<(String, String), ServerError> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), address.to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(refuse)?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

fn refuse(error: impl std::fmt::Display) -> ServerError {
    ServerError::Certificate(error.to_string())
}
