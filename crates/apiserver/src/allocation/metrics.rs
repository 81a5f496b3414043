//! What is counted of addresses and node ports, under upstream's names.

use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{DEFAULT_BUCKETS, HistogramVec, IntCounterVec, IntGaugeVec, Registry};

use super::Allocator;
use super::repair::Event;
use crate::metrics::{counter, gauge, histogram};

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
    allocated_ips: IntGaugeVec,
    available_ips: IntGaugeVec,
    ips: IntCounterVec,
    ip_errors: IntCounterVec,
    ip_durations: HistogramVec,
    allocated_ports: IntGaugeVec,
    available_ports: IntGaugeVec,
    ports: IntCounterVec,
    port_errors: IntCounterVec,
    ip_repairs: IntCounterVec,
    ip_failures: IntCounterVec,
    port_repairs: IntCounterVec,
    port_failures: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        let metrics = Self {
            allocated_ips: gauge(
                all,
                ("kube_apiserver_clusterip_allocator_allocated_ips", "Addresses of a range that services have."),
                &["cidr"],
            ),
            available_ips: gauge(
                all,
                ("kube_apiserver_clusterip_allocator_available_ips", "Addresses of a range that are free."),
                &["cidr"],
            ),
            ips: counter(
                all,
                ("kube_apiserver_clusterip_allocator_allocation_total", "Addresses that were given."),
                &["cidr", "scope"],
            ),
            ip_errors: counter(
                all,
                ("kube_apiserver_clusterip_allocator_allocation_errors_total", "Addresses that were not given."),
                &["cidr", "scope"],
            ),
            ip_durations: histogram(
                all,
                ("kube_apiserver_clusterip_allocator_allocation_duration_seconds", "How long it took to give one."),
                &["cidr"],
                DEFAULT_BUCKETS,
            ),
            allocated_ports: gauge(
                all,
                ("kube_apiserver_nodeport_allocator_allocated_ports", "Node ports that services have."),
                &[],
            ),
            available_ports: gauge(
                all,
                ("kube_apiserver_nodeport_allocator_available_ports", "Node ports that are free."),
                &[],
            ),
            ports: counter(
                all,
                ("kube_apiserver_nodeport_allocator_allocation_total", "Node ports that were given."),
                &["scope"],
            ),
            port_errors: counter(
                all,
                ("kube_apiserver_nodeport_allocator_allocation_errors_total", "Node ports that were not given."),
                &["scope"],
            ),
            ip_repairs: counter(
                all,
                ("apiserver_clusterip_repair_ip_errors_total", "What was found wrong with addresses."),
                &["type"],
            ),
            ip_failures: counter(
                all,
                ("apiserver_clusterip_repair_reconcile_errors_total", "Repairs of addresses that failed."),
                &[],
            ),
            port_repairs: counter(
                all,
                ("apiserver_nodeport_repair_port_errors_total", "What was found wrong with node ports."),
                &["type"],
            ),
            port_failures: counter(
                all,
                ("apiserver_nodeport_repair_reconcile_errors_total", "Repairs of node ports that failed."),
                &[],
            ),
            registry,
        };
        // What has no labels is there from the beginning.
        for counter in [&metrics.ip_failures, &metrics.port_failures] {
            counter.with_label_values::<&str>(&[]);
        }
        metrics
    }

    /// An address of the range `cidr` was given, after so long.
    pub fn address_given(&self, cidr: &str, scope: Scope, took: Duration) {
        self.ips.with_label_values(&[cidr, scope.word()]).inc();
        self.ip_durations.with_label_values(&[cidr]).observe(took.as_secs_f64());
    }

    /// An address of the range `cidr` was refused, or there was none.
    pub fn address_refused(&self, cidr: &str, scope: Scope) {
        self.ip_errors.with_label_values(&[cidr, scope.word()]).inc();
    }

    /// A node port was given.
    pub fn port_given(&self, scope: Scope) {
        self.ports.with_label_values(&[scope.word()]).inc();
    }

    /// A node port was refused, or there was none.
    pub fn port_refused(&self, scope: Scope) {
        self.port_errors.with_label_values(&[scope.word()]).inc();
    }

    /// The repair of addresses found this.
    pub fn address_repaired(&self, event: &Event) {
        self.ip_repairs.with_label_values(&[trouble(event.reason)]).inc();
    }

    /// The repair of node ports found this.
    pub fn port_repaired(&self, event: &Event) {
        self.port_repairs.with_label_values(&[trouble(event.reason)]).inc();
    }

    /// The repair of node ports found ports that nobody has.
    pub fn ports_leaked(&self, count: usize) {
        if count > 0 {
            self.port_repairs.with_label_values(&["leak"]).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// The repair of addresses could not be done.
    pub fn addresses_not_repaired(&self) {
        self.ip_failures.with_label_values::<&str>(&[]).inc();
    }

    /// The repair of node ports could not be done.
    pub fn ports_not_repaired(&self) {
        self.port_failures.with_label_values::<&str>(&[]).inc();
    }
}

impl Allocator {
    /// Everything that is counted. What is taken and free is looked up now.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricFamily> {
        let number = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        metrics.allocated_ips.reset();
        metrics.available_ips.reset();
        let known = self.known.lock();
        for range in known.ranges.values().flat_map(|ranges| &ranges.all) {
            let (cidr, taken) = (range.network().to_string(), known.count_in(range) as u128);
            metrics.allocated_ips.with_label_values(&[&cidr]).set(number(taken));
            metrics.available_ips.with_label_values(&[&cidr]).set(number(range.size().saturating_sub(taken)));
        }
        let taken = self.ports.count().unwrap_or_else(|| known.used_ports_in(self.ports.range));
        drop(known);
        let free = self.ports.range.size().saturating_sub(taken);
        metrics.allocated_ports.with_label_values::<&str>(&[]).set(number(taken as u128));
        metrics.available_ports.with_label_values::<&str>(&[]).set(number(free as u128));
        metrics.registry.gather()
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
