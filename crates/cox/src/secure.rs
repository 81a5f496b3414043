//! The HTTPS server that a part of the control plane has beside its work: health and metrics.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base::metrics::Registry;
use base::{CancellationToken, Tasks};
use client::serving::{Certificate, Check, Delegated, Listener, Settings, Status, Trust};
use client::{Client, Context};
use k8s_openapi::api::core::v1::ConfigMap;
use scheduler::config::duration;

use crate::component;

/// So many connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 200;

/// What the API server publishes of whom it believes.
const AUTHENTICATION: (&str, &str, &str) = ("kube-system", "extension-apiserver-authentication", "client-ca-file");

/// Flags, named as those of upstream's parts of the control plane.
#[derive(clap::Args)]
pub struct Flags {
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    bind_address: IpAddr,
    /// The server's certificate; one that signs itself is made without it.
    #[arg(long, requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The key of the server's certificate.
    #[arg(long, requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,
    /// Who signs certificates of clients; the API server of `--authentication-kubeconfig` is asked without it.
    #[arg(long)]
    client_ca_file: Option<PathBuf>,
    /// The kubeconfig for asking who a token's holder is; the component's own without it.
    #[arg(long)]
    authentication_kubeconfig: Option<PathBuf>,
    /// Whether to do without asking the API server whose certificates count.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    authentication_skip_lookup: bool,
    /// The kubeconfig for asking what somebody may; the component's own without it.
    #[arg(long)]
    authorization_kubeconfig: Option<PathBuf>,
    /// Paths that are answered without asking; `*` at the end stands for anything.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez")]
    authorization_always_allow_paths: Vec<String>,
    /// How long the API server's yes is believed.
    #[arg(long, value_parser = duration, default_value = "10s")]
    authorization_webhook_cache_authorized_ttl: Duration,
    /// How long the API server's no is believed.
    #[arg(long, value_parser = duration, default_value = "10s")]
    authorization_webhook_cache_unauthorized_ttl: Duration,
    /// Profiles at /debug/pprof/ are not offered, so this can only be false.
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = ["false"])]
    profiling: String,
}

/// Serves health and metrics of the component called `agent`; port 0 serves nowhere.
///
/// # Errors
/// A file cannot be read, the port is taken.
pub async fn serve(
    flags: &Flags,
    agent: &'static str,
    port: u16,
    context: &Context,
    checks: Vec<Check>,
    counts: Registry,
) -> Result<Tasks> {
    let mut tasks = Tasks::new();
    if port == 0 {
        return Ok(tasks);
    }
    let authentication = asked(agent, flags.authentication_kubeconfig.as_deref(), context).await?;
    let authorization = asked(agent, flags.authorization_kubeconfig.as_deref(), context).await?;
    let certificate = match flags.tls_cert_file.as_deref().zip(flags.tls_private_key_file.as_deref()) {
        None => None,
        Some((certificate, key)) => Some(Certificate { certificate: read(certificate)?, key: read(key)? }),
    };
    let settings = Settings {
        bind: SocketAddr::new(flags.bind_address, port),
        certificate,
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned(), flags.bind_address.to_string()],
        client_ca: client_ca(flags, &authentication).await?,
        connections: CONNECTIONS,
    };
    let trust = Trust {
        allowed: flags.authorization_webhook_cache_authorized_ttl,
        denied: flags.authorization_webhook_cache_unauthorized_ttl,
        ..Trust::CONTROL_PLANE
    };
    let access = Delegated::new((authentication, authorization), context.clock.clone(), trust);
    let status = Status::new(access, flags.authorization_always_allow_paths.clone(), checks, counts);
    let listener = Listener::bind(&settings, context.clock.clone()).await?;
    tasks.spawn("status server", status.serve(listener, agent, context.cancel.clone()));
    Ok(tasks)
}

/// Serves health and metrics of a component in this process on the loopback, where upstream's has them. That the port
/// is taken, by a component that runs alone perhaps, keeps nobody from working.
pub async fn serve_inside(
    (agent, port): (&'static str, u16),
    certificate: Certificate,
    client_ca: String,
    context: &Context,
    checks: Vec<Check>,
    counts: Registry,
    tasks: &mut Tasks,
) {
    let settings = Settings {
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        certificate: Some(certificate),
        names: Vec::new(),
        client_ca: Some(client_ca),
        connections: CONNECTIONS,
    };
    let open = ["/healthz", "/readyz", "/livez"].map(str::to_owned).into();
    let clients = (context.client.clone(), context.client.clone());
    let access = Delegated::new(clients, context.clock.clone(), Trust::CONTROL_PLANE);
    match Listener::bind(&settings, context.clock.clone()).await {
        Ok(listener) => {
            let status = Status::new(access, open, checks, counts);
            tasks.spawn("status server", status.serve(listener, agent, context.cancel.clone()));
        }
        Err(error) => tracing::warn!(%error, component = agent, "health and metrics are not served"),
    }
}

/// Whom the server asks about its callers.
async fn asked(agent: &'static str, kubeconfig: Option<&Path>, context: &Context) -> Result<Client> {
    let Some(path) = kubeconfig else { return Ok(context.client.clone()) };
    let cancel: CancellationToken = context.cancel.clone();
    Ok(component::context(agent, path, cancel).await?.client)
}

/// Whose certificates count: those of the file, or else those that the API server takes itself.
async fn client_ca(flags: &Flags, authentication: &Client) -> Result<Option<String>> {
    if let Some(path) = &flags.client_ca_file {
        return read(path).map(Some);
    }
    if flags.authentication_kubeconfig.is_none() || flags.authentication_skip_lookup {
        return Ok(None);
    }
    let (namespace, name, field) = AUTHENTICATION;
    match authentication.get::<ConfigMap>(namespace, name).await {
        Ok(found) => Ok(found.data.and_then(|mut data| data.remove(field))),
        Err(error) => {
            tracing::warn!(%error, "whose certificates count is not known: only tokens do");
            Ok(None)
        }
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
