//! An HTTP probe or hook: one GET, in plain or over TLS that nobody checks, redirects followed on the same host.

use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Failure, port, tcp};

const USER_AGENT: &str = "kube-probe/1.36";
const REDIRECT_LIMIT: usize = 10;

/// What to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Target {
    pub(crate) fn new(action: &HTTPGetAction, container: &Container, ip: &str) -> Result<Self, String> {
        let mut headers = Vec::new();
        for header in action.http_headers.iter().flatten() {
            let name = HeaderName::try_from(&header.name).map_err(|error| error.to_string())?;
            headers.push((name, HeaderValue::try_from(&header.value).map_err(|error| error.to_string())?));
        }
        let path = action.path.as_deref().unwrap_or("/");
        Ok(Self {
            tls: action.scheme.as_deref() == Some("HTTPS"),
            host: action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| ip.to_owned()),
            port: port(&action.port, container)?,
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            headers,
        })
    }

    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", tcp::address(&self.host, self.port), self.path)
    }

    /// Where a redirect leads; `None` when to another host.
    fn redirected(&self, location: &str) -> Option<Self> {
        let uri: Uri = location.parse().ok()?;
        let path = uri.path_and_query()?.as_str().to_owned();
        if uri.host().is_none() {
            return Some(Self { path, ..self.clone() });
        }
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        (uri.host() == Some(self.host.as_str())).then(|| Self { tls, port, path, ..self.clone() })
    }
}

/// Asks and judges the answer: 200 to 399 is healthy, and so is a redirect to another host.
pub(crate) async fn get(target: &Target, timeout: Duration, clock: &Clock) -> Result<(), Failure> {
    let url = target.url();
    match clock.timeout(timeout, follow(target.clone(), timeout, clock)).await {
        Ok(Ok(status)) if (200..400).contains(&status) => Ok(()),
        Ok(Ok(status)) => Err(Failure::Unhealthy(format!("HTTP probe failed with statuscode: {status}"))),
        Ok(Err(error)) => Err(Failure::Unhealthy(format!("Get \"{url}\": {error}"))),
        Err(_) => {
            let text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            Err(Failure::Unhealthy(format!("Get \"{url}\": {text}")))
        }
    }
}

async fn follow(mut target: Target, timeout: Duration, clock: &Clock) -> Result<u16, String> {
    for _ in 0..REDIRECT_LIMIT {
        let stream = tcp::dial(&target.host, target.port, timeout, clock).await?;
        let (status, location) = if target.tls {
            ask(tls(stream, &target.host).await?, &target).await?
        } else {
            ask(stream, &target).await?
        };
        let redirect = (300..400).contains(&status);
        match location.filter(|_| redirect).and_then(|location| target.redirected(&location)) {
            Some(next) => target = next,
            None => return Ok(status),
        }
    }
    Err(format!("stopped after {REDIRECT_LIMIT} redirects"))
}

async fn ask<S>(stream: S, target: &Target) -> Result<(u16, Option<String>), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let mut request =
        Request::get(&target.path).body(Empty::<bytes::Bytes>::new()).map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    let host = HeaderValue::try_from(tcp::address(&target.host, target.port)).map_err(|error| error.to_string())?;
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &target.headers {
        headers.insert(name.clone(), value.clone());
    }
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    let mut open = true;
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut answer => break answer.map_err(text)?,
            _ended = &mut connection, if open => open = false,
        }
    };
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok((answer.status().as_u16(), location))
}

async fn tls(
    stream: tokio::net::TcpStream,
    host: &str,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(unverified()));
    connector.connect(name, stream).await.map_err(|error| error.to_string())
}

/// A probe asks whether a server answers, not who it is (as upstream).
fn unverified() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions");
    builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth()
}

#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
