//! `cox apiserver`: the API server alone.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use apiserver::PortRange;
use apiserver::authorization::Mode;
use apiserver::certificates::{Profile, Supplied};
use base::{Clock, Random};
use ipnet::IpNet;

use crate::cluster::{self, Configuration};
use crate::{access, etcd, signals};

/// Flags, named as kube-apiserver's.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where certificates and keys are kept, and all objects unless an etcd cluster is named.
    #[arg(long, default_value = "/var/lib/coxswain")]
    data_dir: PathBuf,
    /// The address to listen on.
    #[arg(long, default_value = "0.0.0.0")]
    bind_address: IpAddr,
    /// The port to listen on.
    #[arg(long, default_value_t = 6443)]
    secure_port: u16,
    /// The address that others reach this server by.
    #[arg(long)]
    advertise_address: Option<IpAddr>,
    /// The certificate to show instead of our own.
    #[arg(long, requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The key of `--tls-cert-file`.
    #[arg(long, requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,
    /// Whose client certificates count besides our own.
    #[arg(long)]
    client_ca_file: Option<PathBuf>,
    /// Static tokens: lines of token,user,uid,"group1,group2".
    #[arg(long)]
    token_auth_file: Option<PathBuf>,
    /// Who issues tokens of service accounts; the first issues, the others count too.
    #[arg(long, default_value = cluster::DEFAULT_ISSUER)]
    service_account_issuer: Vec<String>,
    /// Keys whose tokens count.
    #[arg(long)]
    service_account_key_file: Vec<PathBuf>,
    /// The key that signs tokens.
    #[arg(long)]
    service_account_signing_key_file: Option<PathBuf>,
    /// The addresses of services: a range, or one of each family, the preferred one first.
    #[arg(long, value_delimiter = ',', default_value = "10.96.0.0/16")]
    service_cluster_ip_range: Vec<IpNet>,
    /// The ports that nodes open for services: FIRST-LAST, or FIRST+MORE.
    #[arg(long, default_value_t)]
    service_node_port_range: PortRange,
    /// Who is asked for permission, in order: AlwaysAllow, AlwaysDeny, Node, RBAC.
    #[arg(long, value_delimiter = ',', default_value = "Node,RBAC")]
    authorization_mode: Vec<Mode>,
    #[command(flatten)]
    access: access::Arguments,
    #[command(flatten)]
    etcd: etcd::Flags,
}

/// Serves until a signal comes.
///
/// # Errors
/// When it cannot start.
pub async fn run(arguments: Arguments) -> Result<()> {
    let (clock, stop) = (Clock::system(), signals::cancelled_by_signals()?);
    let configuration = Configuration {
        data_dir: arguments.data_dir.clone(),
        bind_address: arguments.bind_address,
        secure_port: arguments.secure_port,
        advertise_address: arguments.advertise_address,
        service_ranges: arguments.service_cluster_ip_range,
        node_ports: arguments.service_node_port_range,
        supplied: Supplied {
            serving: arguments.tls_cert_file.zip(arguments.tls_private_key_file),
            client_ca: arguments.client_ca_file,
            signing_key: arguments.service_account_signing_key_file,
            verifying_keys: arguments.service_account_key_file,
        },
        token_auth_file: arguments.token_auth_file,
        issuers: arguments.service_account_issuer,
        modes: arguments.authorization_mode,
        verify_kubelets: false,
        access: arguments.access,
        etcd: arguments.etcd.etcd(),
    };
    let mut running = cluster::start(&configuration, &clock, &Random::system(), &stop).await?;
    let kubeconfig = arguments.data_dir.join("admin.kubeconfig");
    let url = cluster::local_url(running.address);
    running.certificates.write_kubeconfig(&kubeconfig, &url, &Profile::admin(), clock.now())?;
    tracing::info!(address = %running.address, kubeconfig = %kubeconfig.display(), "the API server is ready");
    running.tasks.join_all().await;
    Ok(())
}
