//! How the server shows itself to kubelets: by a client certificate, and checking theirs where it was told whom to trust;
//! and how it asks parts of the control plane for their health, to whom it shows nothing.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Why a configuration could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the credentials for kubelets cannot be used: {0}")]
pub struct BadCredentials(String);

/// TLS towards kubelets with this certificate and key. With `authority_pem` (`--kubelet-certificate-authority`) a
/// kubelet's certificate must come from there; without, any is taken, because kubelets sign their own by default.
///
/// # Errors
/// When a text is no PEM of what it should be.
pub fn client_tls(
    certificate_pem: &str,
    key_pem: &str,
    authority_pem: Option<&str>,
) -> Result<Arc<ClientConfig>, BadCredentials> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(certificate_pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(bad)?;
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(bad)?;
    let builder = match authority_pem {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(pem)? {
                roots.add(root).map_err(bad)?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    Ok(Arc::new(builder.with_client_auth_cert(chain, key).map_err(bad)?))
}

/// TLS towards parts of the control plane on this machine, which are asked for nothing but their health: no certificate
/// is shown, any is taken.
///
/// # Errors
/// When the provider knows no version of TLS.
pub fn probe_tls() -> Result<Arc<ClientConfig>, BadCredentials> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(bad)?;
    let any = Arc::new(AnyCertificate(provider));
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth()))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, BadCredentials> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(bad)
}

fn bad(error: impl std::fmt::Display) -> BadCredentials {
    BadCredentials(error.to_string())
}

/// Takes every certificate, but makes sure that the other side has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
