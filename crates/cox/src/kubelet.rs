//! `cox kubelet`: the node agent alone, against any API server.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use kubelet::{KubeletOptions, RuntimeChoice};

use crate::{component, signals};

/// Flags, named as upstream's.
#[derive(clap::Args)]
pub struct Arguments {
    /// The kubeconfig with the API server and the credentials.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// A KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
    #[arg(long)]
    config: Option<PathBuf>,
    /// The node's addresses.
    #[arg(long, value_delimiter = ',')]
    node_ip: Vec<IpAddr>,
    /// The node's name.
    #[arg(long, default_value = "")]
    hostname_override: String,
    /// The socket of the container runtime.
    #[arg(long)]
    container_runtime_endpoint: Option<String>,
    /// Where the kubelet keeps its files.
    #[arg(long, default_value = "/var/lib/kubelet")]
    root_dir: PathBuf,
}

/// Runs the node until a signal comes.
///
/// # Errors
/// When it cannot start.
pub async fn run(arguments: Arguments) -> Result<()> {
    let mut options = KubeletOptions { root_dir: arguments.root_dir, ..KubeletOptions::default() };
    if let Some(path) = &arguments.config {
        kubelet::config::load(path, &mut options)?;
    }
    if !arguments.node_ip.is_empty() {
        options.node_ips = arguments.node_ip;
    }
    if !arguments.hostname_override.is_empty() {
        options.node_name = arguments.hostname_override;
    }
    if let Some(endpoint) = arguments.container_runtime_endpoint {
        options.runtime = RuntimeChoice::Endpoint(endpoint);
    }
    let context = component::context("kubelet", &arguments.kubeconfig, signals::cancelled_by_signals()?).await?;
    Ok(kubelet::run(context.client, options, context.clock, context.random, context.cancel).await?)
}
