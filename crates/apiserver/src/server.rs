//! What a server consists of, and its options.

use std::sync::Arc;
use std::time::Duration;

use base::metrics::Registry;
use base::{CancellationToken, Clock, Random, Tasks};
use parking_lot::Mutex;
use rustls::ClientConfig;
use store::Store;

use crate::access::{self, Access};
use crate::allocation::{Allocator, PortRange};
use crate::authorization::Authorizer;
use crate::cache::Cacher;
use crate::flow::Flow;
use crate::metrics::Metrics;
use crate::recent::Recent;

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Reading requests at a time; more answer 429.
    pub max_requests_in_flight: usize,
    /// Writing requests at a time; more answer 429.
    pub max_mutating_requests_in_flight: usize,
    /// A request that is no watch and no connection takes at most so long.
    pub request_timeout: Duration,
    /// A watch without a wish lasts between once and twice this.
    pub min_request_timeout: Duration,
    /// Events go by themselves after this.
    pub event_ttl: Duration,
    /// The addresses of services: a range, or two of different families, the preferred one first.
    pub service_ranges: Vec<ipnet::IpNet>,
    /// The ports that nodes open for services.
    pub node_ports: PortRange,
    /// History older than this is forgotten.
    pub compaction_interval: Duration,
    /// How the server shows itself to kubelets and what it takes from them; without it there are no logs, no exec.
    pub kubelet_tls: Option<Arc<ClientConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_requests_in_flight: 400,
            max_mutating_requests_in_flight: 200,
            request_timeout: Duration::from_secs(60),
            min_request_timeout: Duration::from_secs(1800),
            event_ttl: Duration::from_secs(3600),
            service_ranges: vec![ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 96, 0, 0), 16).into()],
            node_ports: PortRange::NODE_PORTS,
            compaction_interval: Duration::from_secs(300),
            kubelet_tls: None,
        }
    }
}

/// A request may wait in a queue for this part of its time.
const QUEUE_PART: u32 = 4;

/// A server's parts, shared by all requests.
pub struct Server {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The objects in memory.
    pub cacher: Arc<Cacher>,
    /// Trees of what was just written.
    pub recent: Recent,
    /// The settings.
    pub options: Options,
    /// The time.
    pub clock: Clock,
    /// Chance: names, uids, spread.
    pub random: Random,
    /// Who may do what.
    pub access: Access,
    /// Addresses and node ports of services.
    pub allocator: Arc<Allocator>,
    /// Who may enter now.
    pub flow: Arc<Flow>,
    /// What is counted.
    pub metrics: Metrics,
    /// Connections to kubelets that are handed through.
    pub tunnels: Mutex<Tasks>,
    /// Since when it runs.
    pub started: jiff::Timestamp,
    /// Ends watches and connections when the server ends.
    pub stop: CancellationToken,
}

impl Server {
    /// The parts; nothing is read from the store yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        options: Options,
        access: access::Settings,
        clock: Clock,
        random: Random,
    ) -> Self {
        let authorizer = Arc::new(Authorizer::new(access.modes.clone()));
        let allocator = Arc::new(Allocator::new(&options.service_ranges, options.node_ports, random.clone()));
        let (reading, writing) = (options.max_requests_in_flight, options.max_mutating_requests_in_flight);
        let flow = Arc::new(Flow::new(reading, writing, options.request_timeout / QUEUE_PART, clock.clone()));
        let observers: Vec<Arc<dyn crate::cache::Observer>> =
            vec![Arc::new(access::Watching(authorizer.clone())), allocator.clone(), flow.clone()];
        let cacher = Arc::new(Cacher::new(store.clone(), clock.clone(), kinds::all(), observers));
        let access = Access::new(access, authorizer, cacher.clone(), clock.clone(), random.clone());
        let stop = CancellationToken::new();
        let (metrics, tunnels) = (Metrics::new(), Mutex::new(Tasks::new()));
        let started = clock.now();
        Self {
            store,
            cacher,
            recent: Recent::default(),
            options,
            clock,
            random,
            access,
            allocator,
            flow,
            metrics,
            tunnels,
            started,
            stop,
        }
    }

    /// What the parts count.
    #[must_use]
    pub fn registries(&self) -> Vec<Registry> {
        let parts = [self.flow.registry(), self.cacher.registry(), self.allocator.registry()];
        parts.into_iter().chain(self.access.registries()).collect()
    }
}
