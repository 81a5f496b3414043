//! A cluster put together: the API server over the in-memory store, controllers, scheduler, hollow nodes, watchers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use apiserver::access::Settings;
use apiserver::authentication::service_account::Tokens;
use apiserver::authentication::{ClientCertificates, SigningKey, TokenCounts, TokenFile};
use apiserver::authorization::Mode;
use apiserver::certificates::Authority;
use apiserver::{ApiServer, Options, User, bootstrap};
use base::{CancellationToken, Clock, Random, Tasks};
use client::{Client, Patch, Resource};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::Value;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use store::Store;

use crate::checker::{Checker, unsettled};
use crate::component::{Component, House};
use crate::faults::{Faults, Rates};
use crate::history::History;
use crate::mirror::Mirror;
use crate::node;
use crate::wire::Fuse;

/// Every simulation begins at this time.
const EPOCH: &str = "2026-01-01T00:00:00Z";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const SERVICE_RANGE: &str = "10.96.0.0/16";
const POD_RANGE: &str = "10.244.0.0/16";

/// A running cluster.
pub struct Cluster {
    /// Where components run.
    pub house: House,
    /// An administrator, whose requests never go wrong.
    pub client: Client,
    /// What was written.
    pub history: Arc<History>,
    /// Clients that list and watch.
    pub mirrors: Vec<Arc<Mirror>>,
    store: Arc<dyn Store>,
    nodes: BTreeMap<String, CancellationToken>,
    tasks: Tasks,
    stop: CancellationToken,
}

impl Cluster {
    /// Starts a cluster with `nodes` nodes.
    ///
    /// # Errors
    /// What could not be made.
    pub async fn start(
        random: Random,
        nodes: usize,
        rates: Rates,
        checkers: Vec<Box<dyn Checker>>,
        print: bool,
    ) -> Result<Self, String> {
        let clock = Clock::starting_at(EPOCH.parse().expect("a constant time"));
        let store = store::memory::open(clock.clone());
        let history = Arc::new(History::new(checkers, print));
        let mut tasks = Tasks::new();
        tasks.spawn("history", history.clone().follow(store.clone(), clock.clone()));
        let stop = CancellationToken::new();
        let server = start_server(store.clone(), &clock, &random, &mut tasks, &stop).await?;
        let faults = Arc::new(Faults::new(rates, Random::seeded(random.u64())));
        let house = House { server: server.clone(), faults, clock, random };
        let client =
            Client::in_process(server, User::new("kubernetes-admin", &["system:masters", "system:authenticated"]));
        let mut cluster =
            Self { house, client, history, mirrors: Vec::new(), store, nodes: BTreeMap::new(), tasks, stop };
        cluster.start_mirrors();
        cluster.start_control_plane();
        for number in 1..=nodes {
            cluster.start_node(&format!("node-{number}"));
        }
        Ok(cluster)
    }

    /// Starts, or starts again, the node `name`.
    pub fn start_node(&mut self, name: &str) {
        let stop = self.stop.child_token();
        self.nodes.insert(name.to_owned(), stop.clone());
        let own = name.to_owned();
        let component = Component {
            name: "node",
            user: User::new(&format!("system:node:{name}"), &["system:nodes", "system:authenticated"]),
            start: Box::new(move |context| Box::pin(node::run(context, own.clone()))),
        };
        self.tasks.spawn("node", self.house.clone().run(component, stop));
    }

    /// The node `name` is heard of no more.
    pub fn lose_node(&mut self, name: &str) {
        if let Some(stop) = self.nodes.remove(name) {
            stop.cancel();
        }
    }

    /// The nodes that run.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// Makes an object.
    ///
    /// # Errors
    /// What the server says.
    pub async fn create<K: client::Kind>(&self, namespace: &str, object: Value) -> Result<(), String> {
        let made = self.client.dynamic(Resource::of::<K>()).create(namespace, &object).await;
        made.map(drop).map_err(|error| format!("making a {}: {error}", K::KIND))
    }

    /// Changes an object by a strategic merge patch.
    ///
    /// # Errors
    /// What the server says.
    pub async fn change<K: client::Kind>(&self, namespace: &str, name: &str, patch: Value) -> Result<(), String> {
        let changed = self.client.patch::<K>(namespace, name, &Patch::Strategic(patch)).await;
        changed.map(drop).map_err(|error| format!("changing {} {name}: {error}", K::KIND))
    }

    /// Waits until all that was asked for has come true.
    ///
    /// # Errors
    /// What is missing after `limit`, or what a checker found meanwhile.
    pub async fn settle(&self, limit: Duration) -> Result<(), String> {
        let deadline = self.now() + limit;
        loop {
            self.wait(Duration::from_secs(1)).await?;
            let Some(missing) = self.history.ask(unsettled) else { return Ok(()) };
            if self.now() > deadline {
                return Err(format!("{}: after {} s without faults {missing}", self.now(), limit.as_secs()));
            }
        }
    }

    /// Lets time go by.
    ///
    /// # Errors
    /// What a checker found meanwhile.
    pub async fn wait(&self, time: Duration) -> Result<(), String> {
        self.house.clock.sleep(time).await;
        self.history.complaint().map_or(Ok(()), Err)
    }

    /// The time there.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.house.clock.now()
    }

    /// Stops all of it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.store.close().await;
        self.tasks.join_all().await;
    }

    fn start_control_plane(&mut self) {
        let scheduler = Component {
            name: "scheduler",
            user: User::new("system:kube-scheduler", &["system:authenticated"]),
            start: Box::new(|context| Box::pin(scheduler::run(context, scheduler::config::Profile::default()))),
        };
        let controllers = Component {
            name: "controllers",
            user: User::new("system:kube-controller-manager", &["system:masters", "system:authenticated"]),
            start: Box::new(|context| {
                let options = controllers::Options {
                    cluster_cidrs: vec![POD_RANGE.to_owned()],
                    ..controllers::Options::default()
                };
                let run = controllers::run(context.client, options, context.clock, context.random, context.cancel);
                Box::pin(async move {
                    if let Err(error) = run.await {
                        tracing::error!(%error, "the controllers ended");
                    }
                })
            }),
        };
        for component in [scheduler, controllers] {
            self.tasks.spawn(component.name, self.house.clone().run(component, self.stop.clone()));
        }
    }

    fn start_mirrors(&mut self) {
        self.mirrors = [
            (Resource::of::<Pod>(), "pods"),
            (Resource::of::<Node>(), "minions"),
            (Resource::of::<Deployment>(), "deployments"),
            (Resource::of::<ReplicaSet>(), "replicasets"),
            (Resource::of::<Job>(), "jobs"),
            (Resource::of::<EndpointSlice>(), "endpointslices"),
        ]
        .map(|(resource, storage)| Arc::new(Mirror::new(resource, storage)))
        .to_vec();
        for mirror in &self.mirrors {
            let user = User::new("kubernetes-admin", &["system:masters", "system:authenticated"]);
            let mut context = self.house.context(user, Arc::new(Fuse::new(&self.house.faults)));
            context.cancel = self.stop.clone();
            self.tasks.spawn("mirror", mirror.clone().follow(context, self.history.clone()));
        }
    }
}

async fn start_server(
    store: Arc<dyn Store>,
    clock: &Clock,
    random: &Random,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Result<ApiServer, String> {
    let settings = settings(clock.now())?;
    let started = ApiServer::start(store, Options::default(), settings, clock.clone(), random.clone()).await;
    let (server, loaded) = started.map_err(|error| format!("reading the store: {error}"))?;
    let (follower, end) = (server.clone(), stop.clone());
    tasks.spawn("store follower", async move { follower.run(loaded, end).await });
    let own = bootstrap::Settings {
        advertise_address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        secure_port: 6443,
        service_ranges: vec![SERVICE_RANGE.parse().expect("a constant range")],
        // The real one would be another one in every run.
        client_ca_pem: String::new(),
    };
    let made = bootstrap::apply(&server, &own).await;
    made.map_err(|status| format!("making what a cluster begins with: {}", status.message))?;
    tasks.spawn("kubernetes service", bootstrap::keep(server.clone(), own, stop.clone()));
    Ok(server)
}

fn settings(now: Timestamp) -> Result<Settings, String> {
    let authority = Authority::make(now);
    let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes());
    let root = root.map_err(|error| format!("reading the own certificate: {error}"))?;
    let signing = SigningKey::from_pem(authority.pair().key_pem.as_bytes()).map_err(|error| error.to_string())?;
    let verifying = vec![signing.public().clone()];
    let issuers = vec![ISSUER.to_owned()];
    Ok(Settings {
        modes: vec![Mode::Node, Mode::Rbac],
        certificates: ClientCertificates::new([root]).map_err(|error| error.to_string())?,
        token_file: TokenFile::default(),
        tokens: Tokens { audiences: issuers.clone(), issuers, signing, verifying, counts: TokenCounts::default() },
        anonymous: true,
        bootstrap_tokens: false,
        plugins: apiserver::admission::Plugins::default(),
    })
}
