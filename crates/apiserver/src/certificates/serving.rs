//! The certificate that the API server shows: exchanged while it runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Pair;

/// Shows the current certificate to every new connection.
#[derive(Debug)]
pub struct Serving(ArcSwap<CertifiedKey>);

impl Serving {
    /// Shows `pair`.
    ///
    /// # Errors
    /// Says what is wrong with the pair.
    pub fn new(pair: &Pair) -> Result<Self, String> {
        Ok(Self(ArcSwap::from_pointee(certified(pair)?)))
    }

    /// Shows `pair` from now on.
    ///
    /// # Errors
    /// Says what is wrong with the pair; the old one stays.
    pub fn exchange(&self, pair: &Pair) -> Result<(), String> {
        self.0.store(Arc::new(certified(pair)?));
        Ok(())
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(pair: &Pair) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or("it holds no PEM certificate")?;
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).map_err(|_| "it holds no PEM private key")?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        other => other.to_string(),
    })
}
