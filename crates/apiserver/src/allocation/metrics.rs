//! What is counted of addresses and node ports, under upstream's names.

use std::sync::Arc;
use std::time::Duration;

use base::metrics::{Counter, Counters, DEFAULT_BUCKETS, Gauge, Gauges, Histograms, Registry, alpha};

use super::Allocator;
use super::repair::Event;

/// Who chose what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The one who asked.
    Static,
    /// The server.
    Dynamic,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    allocated_ips: Gauges,
    available_ips: Gauges,
    ips: Counters,
    ip_errors: Counters,
    ip_durations: Histograms,
    allocated_ports: Arc<Gauge>,
    available_ports: Arc<Gauge>,
    ports: Counters,
    port_errors: Counters,
    ip_repairs: Counters,
    ip_failures: Arc<Counter>,
    port_repairs: Counters,
    port_failures: Arc<Counter>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        Self {
            allocated_ips: all.gauges(
                alpha("kube_apiserver_clusterip_allocator_allocated_ips", "Addresses of a range that services have."),
                &["cidr"],
            ),
            available_ips: all.gauges(
                alpha("kube_apiserver_clusterip_allocator_available_ips", "Addresses of a range that are free."),
                &["cidr"],
            ),
            ips: all.counters(
                alpha("kube_apiserver_clusterip_allocator_allocation_total", "Addresses that were given."),
                &["cidr", "scope"],
            ),
            ip_errors: all.counters(
                alpha("kube_apiserver_clusterip_allocator_allocation_errors_total", "Addresses that were not given."),
                &["cidr", "scope"],
            ),
            ip_durations: all.histograms(
                alpha(
                    "kube_apiserver_clusterip_allocator_allocation_duration_seconds",
                    "How long it took to give one.",
                ),
                &["cidr"],
                &DEFAULT_BUCKETS,
            ),
            allocated_ports: all
                .gauge(alpha("kube_apiserver_nodeport_allocator_allocated_ports", "Node ports that services have.")),
            available_ports: all
                .gauge(alpha("kube_apiserver_nodeport_allocator_available_ports", "Node ports that are free.")),
            ports: all.counters(
                alpha("kube_apiserver_nodeport_allocator_allocation_total", "Node ports that were given."),
                &["scope"],
            ),
            port_errors: all.counters(
                alpha("kube_apiserver_nodeport_allocator_allocation_errors_total", "Node ports that were not given."),
                &["scope"],
            ),
            ip_repairs: all.counters(
                alpha("apiserver_clusterip_repair_ip_errors_total", "What was found wrong with addresses."),
                &["type"],
            ),
            ip_failures: all.counter(alpha(
                "apiserver_clusterip_repair_reconcile_errors_total",
                "Repairs of addresses that failed.",
            )),
            port_repairs: all.counters(
                alpha("apiserver_nodeport_repair_port_errors_total", "What was found wrong with node ports."),
                &["type"],
            ),
            port_failures: all.counter(alpha(
                "apiserver_nodeport_repair_reconcile_errors_total",
                "Repairs of node ports that failed.",
            )),
            registry,
        }
    }

    /// An address of the range `cidr` was given, after so long.
    pub fn address_given(&self, cidr: &str, scope: Scope, took: Duration) {
        self.ips.with(&[cidr, scope.word()]).inc();
        self.ip_durations.with(&[cidr]).took(took);
    }

    /// An address of the range `cidr` was refused, or there was none.
    pub fn address_refused(&self, cidr: &str, scope: Scope) {
        self.ip_errors.with(&[cidr, scope.word()]).inc();
    }

    /// A node port was given.
    pub fn port_given(&self, scope: Scope) {
        self.ports.with(&[scope.word()]).inc();
    }

    /// A node port was refused, or there was none.
    pub fn port_refused(&self, scope: Scope) {
        self.port_errors.with(&[scope.word()]).inc();
    }

    /// The repair of addresses found this.
    pub fn address_repaired(&self, event: &Event) {
        self.ip_repairs.with(&[trouble(event.reason)]).inc();
    }

    /// The repair of node ports found this.
    pub fn port_repaired(&self, event: &Event) {
        self.port_repairs.with(&[trouble(event.reason)]).inc();
    }

    /// The repair of node ports found ports that nobody has.
    pub fn ports_leaked(&self, count: usize) {
        if count > 0 {
            self.port_repairs.with(&["leak"]).add(count as u64);
        }
    }

    /// The repair of addresses could not be done.
    pub fn addresses_not_repaired(&self) {
        self.ip_failures.inc();
    }

    /// The repair of node ports could not be done.
    pub fn ports_not_repaired(&self) {
        self.port_failures.inc();
    }
}

impl Allocator {
    /// Everything that is counted. What is taken and free is looked up now.
    #[must_use]
    pub fn registry(&self) -> Registry {
        let number = |count: u128| usize::try_from(count).unwrap_or(usize::MAX);
        let metrics = &self.metrics;
        metrics.allocated_ips.clear();
        metrics.available_ips.clear();
        let known = self.known.lock();
        for range in known.ranges.values().flat_map(|ranges| &ranges.all) {
            let (cidr, taken) = (range.network().to_string(), known.count_in(range));
            metrics.allocated_ips.with(&[&cidr]).set_count(taken);
            metrics.available_ips.with(&[&cidr]).set_count(number(range.size().saturating_sub(taken as u128)));
        }
        let taken = self.ports.count().unwrap_or_else(|| known.used_ports_in(self.ports.range));
        drop(known);
        let free = self.ports.range.size().saturating_sub(taken);
        metrics.allocated_ports.set_count(taken);
        metrics.available_ports.set_count(free);
        metrics.registry.clone()
    }
}

impl Scope {
    fn word(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }
}

/// How metrics name what events name so.
fn trouble(reason: &str) -> &'static str {
    match reason {
        "ClusterIPOutOfRange" | "PortOutOfRange" => "outOfRange",
        "ClusterIPAlreadyAllocated" | "PortAlreadyAllocated" => "duplicate",
        "ClusterIPNotAllocated" | "PortNotAllocated" => "repair",
        "IPAddressNotAllocated" | "IPAddressWrongReference" => "leak",
        _ => "unknown",
    }
}
