//! `cox proxy`: the service proxy alone, against any API server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Result, bail};
use client::Client;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;

use crate::{cluster, component, signals};

/// Flags, named as kube-proxy's.
#[derive(clap::Args)]
pub struct Arguments {
    /// The kubeconfig with the API server and the credentials.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The name of the Node object.
    #[arg(long, default_value_t = cluster::host_name())]
    hostname_override: String,
    /// The addresses of pods.
    #[arg(long, value_delimiter = ',')]
    cluster_cidr: Vec<IpNet>,
    /// Masquerade everything that goes to cluster IPs.
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    masquerade_all: bool,
    /// The bit of the packet mark that asks for masquerade.
    #[arg(long = "iptables-masquerade-bit", alias = "masquerade-bit", default_value_t = proxy::DEFAULT_MASQUERADE_BIT)]
    masquerade_bit: u8,
    /// The local addresses where node ports answer.
    #[arg(long, value_delimiter = ',')]
    nodeport_addresses: Vec<IpNet>,
    /// Where health is answered.
    #[arg(long, default_value = "0.0.0.0:10256")]
    healthz_bind_address: SocketAddr,
    /// Where metrics are answered.
    #[arg(long, default_value = "127.0.0.1:10249")]
    metrics_bind_address: SocketAddr,
}

/// Runs the proxy until a signal comes.
///
/// # Errors
/// When it cannot start.
pub async fn run(arguments: Arguments) -> Result<()> {
    let context = component::context("kube-proxy", &arguments.kubeconfig, signals::cancelled_by_signals()?).await?;
    let node_ips = node_ips(&context.client, &arguments.hostname_override).await?;
    let mut options = proxy::Options::new(arguments.hostname_override, node_ips);
    options.cluster_cidrs = arguments.cluster_cidr;
    options.masquerade_all = arguments.masquerade_all;
    options.masquerade_bit = arguments.masquerade_bit;
    options.nodeport_addresses = arguments.nodeport_addresses;
    options.healthz_bind_address = Some(arguments.healthz_bind_address);
    options.metrics_bind_address = Some(arguments.metrics_bind_address);
    Ok(proxy::run(context.client, options, context.clock, context.random, context.cancel).await?)
}

/// The node's own addresses, one a family, as its object says.
async fn node_ips(client: &Client, name: &str) -> Result<Vec<IpAddr>> {
    let node = client.get::<Node>("", name).await?;
    let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
    let mut ips: Vec<IpAddr> = Vec::new();
    for address in addresses.iter().filter(|address| address.type_ == "InternalIP") {
        if let Ok(ip) = address.address.parse::<IpAddr>()
            && ips.iter().all(|known| known.is_ipv4() != ip.is_ipv4())
        {
            ips.push(ip);
        }
    }
    if ips.is_empty() {
        bail!("the node {name} has no InternalIP yet");
    }
    Ok(ips)
}
