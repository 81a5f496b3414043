//! How a connection to a member is made: TCP, and TLS where its URL says `https`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::options::TlsFiles;
use crate::Error;

/// A member that does not take a connection for so long is given up for now.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A silent connection is asked whether it lives this often, and is dead without an answer for the other.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(10);

/// So much of one answer, and of all answers, may be on its way unread. Bounds memory; wide enough for a local network.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What carries a connection.
trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// A channel to the member at `url`; connects when it is used, and again when the connection was lost.
///
/// # Errors
/// [`Error::Address`] when the URL names no member.
pub fn channel(url: &str, tls: &TlsFiles, clock: &Clock) -> Result<Channel, Error> {
    let target = Arc::new(Target::parse(url, tls)?);
    let endpoint = Endpoint::from(target.uri.clone())
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_LIMIT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let clock = clock.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let (target, clock) = (target.clone(), clock.clone());
        async move {
            let made = clock.timeout(CONNECT_LIMIT, target.connect()).await;
            made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(TokioIo::new)
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// One member.
#[derive(Debug)]
struct Target {
    /// The address for gRPC's own headers. Its scheme is always `http`: TLS is ours, not the channel's.
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<TlsFiles>,
}

impl Target {
    fn parse(url: &str, tls: &TlsFiles) -> Result<Self, Error> {
        let refuse = |why: &str| Error::Address { address: url.to_owned(), why: why.to_owned() };
        let (secure, authority) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(refuse("its scheme is neither http nor https")),
            None => (*tls != TlsFiles::default(), url),
        };
        let authority = authority.trim_end_matches('/');
        let uri: Uri = format!("http://{authority}").parse().map_err(|_| refuse("it is no URL"))?;
        let port = uri.port_u16().ok_or_else(|| refuse("it has no port"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Ok(Self { uri, host, port, tls: secure.then(|| tls.clone()) })
    }

    async fn connect(&self) -> io::Result<Box<dyn Carrier>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(files) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client_config(files)?));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

fn client_config(files: &TlsFiles) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|file| file.exists());
    let authorities = files.authority.as_deref().or_else(system);
    for certificate in authorities.map(certificates).transpose()?.unwrap_or_default() {
        // Systems keep old authorities that nobody can read any longer; a member's own must be readable.
        if let Err(error) = roots.add(certificate)
            && files.authority.is_some()
        {
            return Err(io::Error::other(error));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.with_root_certificates(roots);
    let mut config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(io::Error::other)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("reading {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let files = TlsFiles { authority: Some("ca.crt".into()), ..TlsFiles::default() };
        let shown = |url: &str, tls: &TlsFiles| match Target::parse(url, tls) {
            Ok(target) => format!("{} {} {}", target.host, target.port, target.tls.is_some()),
            Err(error) => error.to_string(),
        };
        let none = TlsFiles::default();
        assert_eq!(shown("http://127.0.0.1:2379", &files), "127.0.0.1 2379 false");
        assert_eq!(shown("https://etcd-0.example:2379/", &none), "etcd-0.example 2379 true");
        assert_eq!(shown("https://[::1]:2379", &none), "::1 2379 true");
        assert_eq!(shown("a:2379", &files), "a 2379 true");
        assert_eq!(shown("a:2379", &none), "a 2379 false");
        assert_eq!(shown("http://a", &none), r#""http://a" is no address of an etcd member: it has no port"#);
        let unix = r#""unix://a" is no address of an etcd member: its scheme is neither http nor https"#;
        assert_eq!(shown("unix://a", &none), unix);
    }
}
