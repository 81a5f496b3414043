//! `cox dns`: cluster DNS alone, against any API server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;

use crate::{component, signals};

/// How cluster DNS answers.
#[derive(clap::Args)]
pub struct Arguments {
    /// The kubeconfig with the API server and the credentials.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Where to listen, UDP and TCP.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:53")]
    listen: Vec<SocketAddr>,
    /// The cluster's domain.
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// The cluster IP under which pods know this server.
    #[arg(long)]
    cluster_ip: Option<IpAddr>,
    /// Where questions about other names go, instead of the machine's own servers.
    #[arg(long, value_delimiter = ',')]
    upstream: Vec<SocketAddr>,
}

/// Answers until a signal comes.
///
/// # Errors
/// When it cannot start.
pub async fn run(arguments: Arguments) -> Result<()> {
    let context = component::context("cox-dns", &arguments.kubeconfig, signals::cancelled_by_signals()?).await?;
    let mut options = dns::Options::new(arguments.listen);
    options.cluster_domain = arguments.cluster_domain;
    options.cluster_ip = arguments.cluster_ip;
    if !arguments.upstream.is_empty() {
        options.upstream = dns::Upstream::Servers(arguments.upstream);
    }
    Ok(dns::run(context.client, options, context.clock, context.random, context.cancel).await?)
}
