//! What the server counts, under upstream's names.

use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use std::time::Duration;

use crate::RequestInfo;
use crate::server::Server;

/// The buckets of request durations.
const DURATIONS: [f64; 20] =
    [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0];

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    long_running: IntGaugeVec,
    objects: IntGaugeVec,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let fits = "the names and labels are constant and correct";
        let request = ["verb", "group", "version", "resource", "subresource", "scope", "component"];
        let counted: Vec<&str> = [&request[..], &["dry_run", "code", "system_client"]].concat();
        let timed: Vec<&str> = [&request[..], &["dry_run"]].concat();
        let requests = IntCounterVec::new(Opts::new("apiserver_request_total", "Requests answered."), &counted);
        let durations = HistogramOpts::new("apiserver_request_duration_seconds", "How long answers took.");
        let durations = HistogramVec::new(durations.buckets(DURATIONS.to_vec()), &timed).expect(fits);
        let long = Opts::new("apiserver_longrunning_requests", "Watches and connections that are open.");
        let long_running = IntGaugeVec::new(long, &request).expect(fits);
        let objects = Opts::new("apiserver_resource_objects", "Objects that are stored.");
        let objects = IntGaugeVec::new(objects, &["group", "resource"]).expect(fits);
        let requests = requests.expect(fits);
        let registry = Registry::new();
        let collectors: [Box<dyn prometheus::core::Collector>; 4] = [
            Box::new(requests.clone()),
            Box::new(durations.clone()),
            Box::new(long_running.clone()),
            Box::new(objects.clone()),
        ];
        for collector in collectors {
            registry.register(collector).expect(fits);
        }
        Self { registry, requests, durations, long_running, objects }
    }

    /// Counts an answered request.
    pub fn answered(&self, info: &RequestInfo, dry_run: &str, code: u16, took: Duration) {
        let (verb, code) = (shown_verb(info), code.to_string());
        let request = labels(info, &verb);
        self.requests.with_label_values(&[&request[..], &[dry_run, &code, ""]].concat()).inc();
        if !info.is_long_running() {
            self.durations.with_label_values(&[&request[..], &[dry_run]].concat()).observe(took.as_secs_f64());
        }
    }

    /// Counts a watch or connection for as long as the result lives.
    #[must_use]
    pub fn open(&self, info: &RequestInfo) -> Open {
        let gauge = self.long_running.with_label_values(&labels(info, &shown_verb(info)));
        gauge.inc();
        Open(gauge)
    }

    /// Everything in Prometheus' text form.
    #[must_use]
    pub fn text(&self, server: &Server) -> String {
        for resource in server.cacher.all() {
            let count = i64::try_from(resource.len()).unwrap_or(i64::MAX);
            self.objects.with_label_values(&[resource.kind.group, resource.kind.plural]).set(count);
        }
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A watch or connection that is counted.
#[derive(Debug)]
pub struct Open(prometheus::IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn shown_verb(info: &RequestInfo) -> String {
    info.verb.to_ascii_uppercase()
}

fn labels<'a>(info: &'a RequestInfo, verb: &'a str) -> [&'a str; 7] {
    let scope = match () {
        () if !info.is_resource_request => "",
        () if !info.name.is_empty() => "resource",
        () if !info.namespace.is_empty() => "namespace",
        () => "cluster",
    };
    [verb, &info.group, &info.version, &info.resource, &info.subresource, scope, "apiserver"]
}
