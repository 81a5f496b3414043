//! The API server put together: store, certificates, access, socket. Shared by `cox apiserver` and `cox server`.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use apiserver::access::Settings;
use apiserver::authentication::service_account::Tokens;
use apiserver::authentication::{ClientCertificates, TokenCounts, TokenFile};
use apiserver::authorization::Mode;
use apiserver::certificates::{Certificates, Profile, Supplied, serving_names};
use apiserver::kubelet_tls::client_tls;
use apiserver::{ApiServer, Options, PortRange, bootstrap};
use base::{CancellationToken, Clock, Random, Tasks};
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpListener;

use crate::access;
use crate::etcd::{self, Etcd};

/// The issuer of service accounts' tokens unless another is named.
pub const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What an API server is told.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub bind_address: IpAddr,
    /// The port; 0 takes a free one.
    pub secure_port: u16,
    /// The address to tell others; found out if none.
    pub advertise_address: Option<IpAddr>,
    /// The addresses of services: a range, or two of different families, the preferred one first.
    pub service_ranges: Vec<IpNet>,
    /// The ports that nodes open for services.
    pub node_ports: PortRange,
    /// Certificates and keys that replace ours.
    pub supplied: Supplied,
    /// Static tokens.
    pub token_auth_file: Option<PathBuf>,
    /// Who issues tokens, the first one, and whose tokens count.
    pub issuers: Vec<String>,
    /// Who is asked for permission.
    pub modes: Vec<Mode>,
    /// Whether kubelets' certificates must come from the cluster's authority; stock kubelets sign their own.
    pub verify_kubelets: bool,
    /// Who may enter and what is admitted.
    pub access: access::Arguments,
    /// The etcd cluster that keeps everything; the embedded store does if none.
    pub etcd: Option<Etcd>,
}

/// A running API server.
pub struct Running {
    /// The server, to be asked in process.
    pub server: ApiServer,
    /// Its certificates.
    pub certificates: Arc<Certificates>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The address that others reach this machine by.
    pub advertise_address: IpAddr,
    /// What runs; ends after the token given to [`start`] is cancelled.
    pub tasks: Tasks,
}

/// Starts an API server: when this returns it is ready.
///
/// # Errors
/// The store cannot be opened, a file is broken, the port is taken.
pub async fn start(
    configuration: &Configuration,
    clock: &Clock,
    random: &Random,
    stop: &CancellationToken,
) -> Result<Running> {
    let now = clock.now();
    make_private(&configuration.data_dir)?;
    let listener = listen(configuration).await?;
    let address = listener.local_addr().context("asking for the own address")?;
    let advertise_address = advertised(configuration);
    let primary = primary(&configuration.service_ranges)?;
    let names = serving_names(&[configuration.bind_address, advertise_address], primary, &host_name());
    let certificates = Certificates::open(&configuration.data_dir, configuration.supplied.clone(), names, now)?;
    let client_ca_pem = certificates.client_ca_pem()?;
    let (settings, verifier) = access(configuration, &certificates, &client_ca_pem)?;
    let store = etcd::open(configuration.etcd.as_ref(), &configuration.data_dir, clock, random)?;
    let own = certificates.pair(&Profile::kubelet_client(), now)?;
    let authority = configuration.verify_kubelets.then(|| certificates.authority_pem());
    let kubelet_tls = client_tls(&own.certificate_pem, &own.key_pem, authority)?;
    let service_ranges = configuration.service_ranges.clone();
    let options = Options {
        service_ranges: service_ranges.clone(),
        node_ports: configuration.node_ports,
        kubelet_tls: Some(kubelet_tls),
        ..Options::default()
    };
    let (server, loaded) =
        ApiServer::start(store, options, settings, clock.clone(), random.clone()).await.context("reading the store")?;

    let mut tasks = Tasks::new();
    let certificates = Arc::new(certificates);
    let (follower, following) = (server.clone(), stop.clone());
    tasks.spawn("store follower", async move { follower.run(loaded, following).await });
    let (fresh, fresh_clock, fresh_stop) = (certificates.clone(), clock.clone(), stop.clone());
    tasks.spawn("certificates", async move { fresh.keep_fresh(fresh_clock, fresh_stop).await });
    let own = bootstrap::Settings { advertise_address, secure_port: address.port(), service_ranges, client_ca_pem };
    bootstrap::apply(&server, &own)
        .await
        .map_err(|status| anyhow::anyhow!("making what a cluster begins with: {}", status.message))?;
    tasks.spawn("kubernetes service", bootstrap::keep(server.clone(), own, stop.clone()));
    let (serving, config, end) = (server.clone(), tls(&certificates, verifier)?, stop.clone());
    tasks.spawn("api server", async move { serving.serve_tls(listener, config, end).await });
    Ok(Running { server, certificates, address, advertise_address, tasks })
}

/// The range from which the service `kubernetes` has its address.
fn primary(ranges: &[IpNet]) -> Result<IpNet> {
    match ranges {
        [one] => Ok(*one),
        [first, second] if first.addr().is_ipv4() != second.addr().is_ipv4() => Ok(*first),
        [_, _] => bail!("--service-cluster-ip-range must be of different IP family to be dual stack"),
        _ => bail!("--service-cluster-ip-range must contain one range, or two of different families"),
    }
}

/// The URL that clients on this machine use.
pub fn local_url(address: SocketAddr) -> String {
    let host = if address.ip().is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { address.ip() };
    format!("https://{}", SocketAddr::new(host, address.port()))
}

/// This machine's name.
pub fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default().to_lowercase()
}

/// Makes a folder that only its owner enters.
///
/// # Errors
/// When the disk says no.
pub fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("making the data directory {}", folder.display()))
}

async fn listen(configuration: &Configuration) -> Result<TcpListener> {
    let address = SocketAddr::new(configuration.bind_address, configuration.secure_port);
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

/// The address to tell others: the one given, the one bound to, or the one that this machine sends from. Nothing is
/// sent to find out: connecting a UDP socket only looks up the route.
fn advertised(configuration: &Configuration) -> IpAddr {
    if let Some(address) = configuration.advertise_address {
        return address;
    }
    if !configuration.bind_address.is_unspecified() {
        return configuration.bind_address;
    }
    let route = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // TEST-NET-1 (RFC 5737): an address that is nobody's.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    route.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}

fn access(
    configuration: &Configuration,
    certificates: &Certificates,
    client_ca_pem: &str,
) -> Result<(Settings, Arc<dyn rustls::server::danger::ClientCertVerifier>)> {
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(client_ca_pem.as_bytes()).collect();
    let clients = ClientCertificates::new(roots.context("reading the client CA")?)?;
    let token_file = match &configuration.token_auth_file {
        None => TokenFile::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            TokenFile::parse(&text).with_context(|| format!("reading {}", path.display()))?
        }
    };
    let (signing, verifying) = certificates.token_keys()?;
    let Some(issuer) = configuration.issuers.first() else { bail!("--service-account-issuer needs a value") };
    let tokens = Tokens {
        issuers: configuration.issuers.clone(),
        audiences: vec![issuer.clone()],
        signing,
        verifying,
        counts: TokenCounts::default(),
    };
    let verifier = clients.listener();
    let modes = configuration.modes.clone();
    Ok((
        Settings {
            modes,
            certificates: clients,
            token_file,
            tokens,
            anonymous: configuration.access.anonymous_auth,
            bootstrap_tokens: configuration.access.enable_bootstrap_token_auth,
            plugins: configuration.access.plugins()?,
        },
        verifier,
    ))
}

fn tls(
    certificates: &Certificates,
    verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
) -> Result<Arc<rustls::ServerConfig>> {
    let builder = rustls::ServerConfig::builder_with_provider(apiserver::cryptography())
        .with_safe_default_protocol_versions()
        .context("setting up TLS")?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(certificates.serving());
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
