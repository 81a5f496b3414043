//! The proxy's life: wait for the first lists, bring all rules in, then each change as it comes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Backoff, CancellationToken, Clock, Random, Tasks};
use client::{Change, Client, Context, Informer, InformerOptions};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::watch;

use crate::conntrack::Doors;
use crate::diff::{Transaction, diff, load};
use crate::endpoints::Place;
use crate::health::{Health, Pages, bind, serve};
use crate::kernel::{self, KernelError};
use crate::rules::{refresh, rules};
use crate::ruleset::{Family, Ruleset};
use crate::services::{Services, Setting};
use crate::{Metrics, Options};

/// Which Services and slices are this proxy's to serve.
const SELECTOR: &str = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";

/// Between attempts after the kernel refused.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(30), jitter: 0.1 };

/// The node's zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// A node with this taint is about to be removed.
const LEAVING_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// Why the proxy cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A port of its servers is taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The kernel cannot take rules at all.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Runs the proxy until cancelled. The rules stay when it ends, so that traffic goes on.
///
/// # Errors
/// When it cannot begin: a port is taken, `nft` is missing, the options are no good.
pub async fn run(
    client: Client,
    options: Options,
    clock: Clock,
    random: Random,
    cancel: CancellationToken,
) -> Result<(), ProxyError> {
    let setting = setting(&options)?;
    let (health, metrics, mut tasks) = (watch::Sender::new(Health::default()), Metrics::new(), Tasks::new());
    let pages = Pages { health: health.subscribe(), metrics: metrics.clone(), clock: clock.clone() };
    let servers: [(_, &'static [&'static str]); 2] = [
        (options.healthz_bind_address, &["/healthz", "/livez"]),
        (options.metrics_bind_address, &["/metrics", "/proxyMode", "/healthz", "/livez"]),
    ];
    for (address, paths) in servers {
        let Some(address) = address else { continue };
        let listener = bind(address).await.map_err(|source| ProxyError::Listen { address, source })?;
        tasks.spawn("proxy-server", serve(listener, paths, pages.clone(), cancel.clone()));
    }
    let context = Context { client, clock: clock.clone(), random: random.clone(), cancel: cancel.clone() };
    let watched = Watched::start(&context, &options.node_name, &mut tasks);
    let proxy = Proxy { services: Services::new(setting), installed: None, health, metrics, clock, random };
    let ended = cancel.run_until_cancelled(proxy.work(&watched)).await;
    cancel.cancelled().await;
    tasks.join_all().await;
    ended.unwrap_or(Ok(()))
}

fn setting(options: &Options) -> Result<Setting, ProxyError> {
    if options.node_ips.is_empty() {
        return Err(ProxyError::Options("the proxy needs the node's address".to_owned()));
    }
    let mark = 1u32.checked_shl(options.masquerade_bit.into());
    let primary = options.node_ips.iter().map(|ip| IpNet::from(*ip)).collect();
    let mut families: Vec<Family> = options.node_ips.iter().map(|ip| Family::of(*ip)).collect();
    families.sort_unstable();
    families.dedup();
    Ok(Setting {
        place: Place { node: options.node_name.clone(), zone: None },
        families,
        cluster_cidrs: options.cluster_cidrs.clone(),
        masquerade_all: options.masquerade_all,
        masquerade_mark: mark.ok_or_else(|| {
            ProxyError::Options(format!("the masquerade bit {} is not within 0 and 31", options.masquerade_bit))
        })?,
        nodeport_addresses: if options.nodeport_addresses.is_empty() {
            primary
        } else {
            options.nodeport_addresses.clone()
        },
    })
}

struct Watched {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    node: Informer<Node>,
}

impl Watched {
    fn start(context: &Context, node_name: &str, tasks: &mut Tasks) -> Self {
        let watched = Self { services: Informer::new(), slices: Informer::new(), node: Informer::new() };
        let selector = || SELECTOR.to_owned();
        let services = InformerOptions { label_selector: selector(), ..InformerOptions::default() };
        let slices = InformerOptions { label_selector: selector(), ..InformerOptions::default() };
        let node =
            InformerOptions { field_selector: format!("metadata.name={node_name}"), ..InformerOptions::default() };
        tasks.spawn("services", watched.services.clone().run(context.clone(), services));
        tasks.spawn("endpoint-slices", watched.slices.clone().run(context.clone(), slices));
        tasks.spawn("node", watched.node.clone().run(context.clone(), node));
        watched
    }
}

struct Proxy {
    services: Services,
    /// What the kernel holds; none when that is not known.
    installed: Option<Ruleset>,
    health: watch::Sender<Health>,
    metrics: Metrics,
    clock: Clock,
    random: Random,
}

impl Proxy {
    async fn work(mut self, watched: &Watched) -> Result<(), ProxyError> {
        let (services, slices, nodes) = (watched.services.changes(), watched.slices.changes(), watched.node.changes());
        tokio::join!(watched.services.synced(), watched.slices.synced(), watched.node.synced());
        let (mut due, mut failures) = (true, 0);
        loop {
            let clock = self.clock.clone();
            let pause = clock.sleep(RETRY.delay(failures, &self.random));
            // Whatever changed goes into one transaction.
            tokio::select! {
                biased;
                changes = nodes.next() => changes.iter().for_each(|change| self.take_node(change.new.as_deref())),
                changes = services.next() => changes.iter().for_each(|change| self.take_service(change)),
                changes = slices.next() => changes.iter().for_each(|change| self.take_slice(change)),
                () = pause, if due => {
                    let result = self.sync().await;
                    if let Err(error @ KernelError::Start(_)) = result {
                        return Err(error.into());
                    }
                    due = result.is_err();
                    failures = if due { failures + 1 } else { 0 };
                    continue;
                }
            }
            due = true;
        }
    }

    fn take_service(&mut self, change: &Change<Service>) {
        self.metrics.service_changes.inc();
        self.services.set_service(&change.key, change.new.clone());
    }

    fn take_slice(&mut self, change: &Change<EndpointSlice>) {
        self.metrics.endpoint_changes.inc();
        self.services.set_slice(&change.key, change.old.as_deref(), change.new.clone());
    }

    fn take_node(&mut self, node: Option<&Node>) {
        let zone = node.and_then(|node| node.metadata.labels.as_ref()?.get(ZONE_LABEL).cloned());
        self.services.set_zone(zone);
        let taints = node.and_then(|node| node.spec.as_ref()?.taints.as_deref()).unwrap_or_default();
        let deleting = node.is_some_and(|node| node.metadata.deletion_timestamp.is_some());
        let leaving = deleting || taints.iter().any(|taint| taint.key == LEAVING_TAINT);
        self.health.send_if_modified(|health| std::mem::replace(&mut health.node_leaving, leaving) != leaving);
    }

    /// Brings what changed into the kernel; after a failure, everything.
    async fn sync(&mut self) -> Result<(), KernelError> {
        let dirty = self.services.take_dirty();
        if dirty.is_empty() && self.installed.is_some() {
            return Ok(());
        }
        let started = self.clock.instant();
        self.metrics.last_queued_seconds.set(seconds(&self.clock));
        let (transaction, doors, next) = self.plan(&dirty);
        let result = kernel::apply(&transaction).await;
        self.metrics.sync_duration_seconds.observe((self.clock.instant() - started).as_secs_f64());
        let now = self.clock.now();
        self.health.send_modify(|health| {
            health.failing = result.is_err();
            health.last_updated = if result.is_ok() { Some(now) } else { health.last_updated };
        });
        if let Err(error) = result {
            tracing::error!(%error, "the rules for services could not be brought into the kernel; trying again");
            self.metrics.sync_failures.inc();
            self.installed = None;
            return Err(error);
        }
        self.metrics.last_sync_seconds.set(seconds(&self.clock));
        if let Err(error) = kernel::forget_connections(&doors) {
            tracing::warn!(%error, "stale UDP connections may remain");
        }
        match (next, &mut self.installed) {
            (Next::Whole(rules), installed) => *installed = Some(rules),
            (Next::Change(change), Some(installed)) => installed.commit(change),
            (Next::Change(_), None) => {}
        }
        Ok(())
    }

    fn plan(&self, dirty: &BTreeSet<Arc<str>>) -> (Transaction, Doors, Next) {
        let Some(installed) = &self.installed else {
            let rules = rules(&self.services);
            return (load(&rules), Doors::all(&rules), Next::Whole(rules));
        };
        let change = refresh(&self.services, installed, dirty);
        (diff(installed, &change), Doors::changed(installed, &change), Next::Change(change))
    }
}

/// What the kernel will hold after a transaction.
enum Next {
    Whole(Ruleset),
    Change(crate::ruleset::Change),
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a float's 53 bits")]
fn seconds(clock: &Clock) -> f64 {
    clock.now().as_millisecond() as f64 / 1000.0
}
