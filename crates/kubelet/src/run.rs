//! Puts a kubelet together and runs it.

use std::path::Path;
use std::sync::Arc;

use base::{CancellationToken, Clock, Random, Tasks};
use client::{Client, Context, EventApi, Informer, InformerOptions, Recorder};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, mpsc};

use crate::cgroups::Cgroups;
use crate::containerd;
use crate::directories::Directories;
use crate::error::Error;
use crate::image::puller::Puller;
use crate::logs::{self, rotate::Limits};
use crate::node::Node;
use crate::objects::Objects;
use crate::options::{KubeletOptions, RuntimeChoice};
use crate::pod::resolver::{self, NodeDns};
use crate::pods::Pods;
use crate::registration::{self, Facts, Registration, RuntimeHealth, node_object};
use crate::runtime::{self, Runtime};
use crate::server::Server;
use crate::tokens::Tokens;

/// So many events of the runtime may wait to be heard.
const EVENTS_LIMIT: usize = 256;

/// Runs a kubelet until cancelled. Containers go on running afterwards, and a later kubelet finds them.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    client: Client,
    options: KubeletOptions,
    clock: Clock,
    random: Random,
    cancel: CancellationToken,
) -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let context = Context { client, clock, random, cancel };
    let directories = Directories { root: options.root_dir.clone(), logs: options.logs_dir.clone() };
    for dir in [directories.pods(), directories.pod_logs(), directories.logs.join("containers")] {
        make_dir(&dir)?;
    }
    let cgroups = Cgroups::detect(&options.cgroup_root)?;
    cgroups.prepare()?;
    let mut tasks = Tasks::new();
    let runtime = bring_up(&options, &context, &mut tasks).await?;
    let mut facts = gather(&options, &directories, &runtime).await?;
    let server = Server::bind(&options, &facts.name, &facts.addresses, &context.clock).await?;
    facts.port = server.port();
    let node = Arc::new(node(&context, &options, &facts, directories, cgroups, runtime.clone(), &mut tasks));

    let wake = Arc::new(Notify::new());
    let (sender, events) = mpsc::channel(EVENTS_LIMIT);
    tasks.spawn(
        "runtime events",
        runtime::events::listen(runtime.clone(), sender, context.clock.clone(), context.cancel.clone()),
    );
    let changes = node.pods.changes();
    let selector = format!("spec.nodeName={}", facts.name);
    let of_node = InformerOptions::<Pod> { field_selector: selector, ..InformerOptions::default() };
    tasks.spawn("pods", node.pods.clone().run(context.clone(), of_node));
    tasks.spawn("services", node.services.clone().run(context.clone(), InformerOptions::default()));
    let limits = Limits { bytes: options.container_log_max_bytes, files: options.container_log_max_files };
    tasks.spawn("log rotation", logs::rotate::run(node.clone(), limits));
    tasks.spawn("kubelet server", server.run(node.clone(), facts.name.clone()));
    let health = Arc::<parking_lot::Mutex<RuntimeHealth>>::default();
    let options = Arc::new(options);
    let registration = Registration { context: context.clone(), options, runtime, facts, wake: wake.clone(), health };
    tasks.spawn("registration", registration.run());
    Pods::new(node, wake).run(changes, events).await;
    tasks.join_all().await;
    Ok(())
}

async fn bring_up(options: &KubeletOptions, context: &Context, tasks: &mut Tasks) -> Result<Runtime, Error> {
    match &options.runtime {
        RuntimeChoice::Endpoint(endpoint) => Ok(Runtime::new(endpoint)?),
        RuntimeChoice::Containerd { data_dir, cni_bin_dir, cni_conf_dir } => {
            make_dir(cni_conf_dir)?;
            let settings = containerd::Settings::detect(data_dir, cni_bin_dir, cni_conf_dir);
            let (runtime, supervisor) = containerd::start(data_dir, &settings, &context.clock).await?;
            tasks.spawn("containerd", supervisor.run(context.cancel.clone()));
            Ok(runtime)
        }
    }
}

async fn gather(options: &KubeletOptions, directories: &Directories, runtime: &Runtime) -> Result<Facts, Error> {
    let mut facts = Facts::gather(directories);
    facts.name = if options.node_name.is_empty() { registration::hostname() } else { options.node_name.clone() };
    facts.addresses = match options.node_ips.as_slice() {
        [] => registration::addresses().ok_or(Error::NoAddress)?,
        given => given.to_vec(),
    };
    if let Ok(version) = runtime.version().await {
        facts.runtime_version = format!("{}://{}", version.runtime_name, version.runtime_version);
    }
    Ok(facts)
}

fn node(
    context: &Context,
    options: &KubeletOptions,
    facts: &Facts,
    directories: Directories,
    cgroups: Cgroups,
    runtime: Runtime,
    tasks: &mut Tasks,
) -> Node {
    let host = std::fs::read_to_string(&options.resolv_conf).unwrap_or_default();
    let dns = NodeDns {
        cluster_dns: options.cluster_dns.clone(),
        cluster_domain: options.cluster_domain.clone(),
        host: resolver::parse(&host),
    };
    Node {
        context: context.clone(),
        runtime,
        recorder: Recorder::start(context, tasks, EventApi::Core, "kubelet", &facts.name),
        directories,
        cgroups,
        dns,
        host_ips: facts.addresses.iter().map(ToString::to_string).collect(),
        memory_bytes: i64::try_from(facts.memory_bytes).unwrap_or(i64::MAX),
        allocatable: node_object::allocatable(options, facts),
        services: Informer::new(),
        pods: Informer::new(),
        objects: Objects::new(context.clone()),
        tokens: Tokens::new(context.client.clone(), context.clock.clone()),
        puller: Puller::new(),
    }
}

fn make_dir(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Directory { path: path.to_owned(), source })
}
