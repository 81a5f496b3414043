//! What the server counts, under upstream's names.

use http_body::Body as _;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use std::time::Duration;

use crate::call::Call;
use crate::flow::{Class, Refused};
use crate::reply::Reply;
use crate::server::Server;
use crate::{RequestInfo, health};

/// The buckets of request durations.
const DURATIONS: [f64; 20] =
    [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0];

/// The buckets of durations as service levels count them.
const SLI_DURATIONS: [f64; 25] = [
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
    90.0, 120.0, 180.0, 300.0,
];

/// The buckets of the sizes of answers: 1,000 bytes and each ten times as many.
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What distinguishes requests in most metrics.
const REQUEST: [&str; 7] = ["verb", "group", "version", "resource", "subresource", "scope", "component"];

const FITS: &str = "the names and labels are constant and correct";

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    sli_durations: HistogramVec,
    sizes: HistogramVec,
    terminations: IntCounterVec,
    deprecated: IntGaugeVec,
    authenticated: IntCounterVec,
    long_running: IntGaugeVec,
    in_flight: IntGaugeVec,
    dispatched: IntCounterVec,
    rejected: IntCounterVec,
    seats: IntGaugeVec,
    seats_taken: IntGaugeVec,
    waiting: IntGaugeVec,
    objects: IntGaugeVec,
    stored: IntGaugeVec,
    watch_cache: IntGaugeVec,
    checks: Registry,
    check: IntGaugeVec,
    check_results: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let (registry, checks) = (Registry::new(), Registry::new());
        let all = &registry;
        let with = |more: &[&'static str]| [&REQUEST[..], more].concat();
        build_info(all);
        Self {
            requests: counter(
                all,
                ("apiserver_request_total", "Requests answered."),
                &with(&["dry_run", "code", "system_client"]),
            ),
            durations: histogram(
                all,
                ("apiserver_request_duration_seconds", "How long answers took."),
                &with(&["dry_run"]),
                &DURATIONS,
            ),
            sli_durations: histogram(
                all,
                ("apiserver_request_sli_duration_seconds", "How long answers took, without what others took."),
                &REQUEST,
                &SLI_DURATIONS,
            ),
            sizes: histogram(all, ("apiserver_response_sizes", "Sizes of answers in bytes."), &REQUEST, &SIZES),
            terminations: counter(
                all,
                ("apiserver_request_terminations_total", "Requests that the server ended to protect itself."),
                &with(&["code"]),
            ),
            deprecated: gauge(
                all,
                ("apiserver_requested_deprecated_apis", "Deprecated resources that somebody asked for."),
                &["group", "version", "resource", "subresource", "removed_release"],
            ),
            authenticated: counter(
                all,
                ("authenticated_user_requests", "Authenticated requests, by user."),
                &["username"],
            ),
            long_running: gauge(
                all,
                ("apiserver_longrunning_requests", "Watches and connections that are open."),
                &REQUEST,
            ),
            in_flight: gauge(all, ("apiserver_current_inflight_requests", "Requests under way."), &["request_kind"]),
            dispatched: counter(
                all,
                ("apiserver_flowcontrol_dispatched_requests_total", "Requests that got in."),
                &["priority_level", "flow_schema"],
            ),
            rejected: counter(
                all,
                ("apiserver_flowcontrol_rejected_requests_total", "Requests that were turned away."),
                &["priority_level", "flow_schema", "reason"],
            ),
            seats: gauge(
                all,
                ("apiserver_flowcontrol_nominal_limit_seats", "Seats of a priority level."),
                &["priority_level"],
            ),
            seats_taken: gauge(
                all,
                ("apiserver_flowcontrol_current_executing_seats", "Seats of a priority level that are taken."),
                &["priority_level"],
            ),
            waiting: gauge(
                all,
                ("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat."),
                &["priority_level"],
            ),
            objects: gauge(all, ("apiserver_resource_objects", "Objects that are stored."), &["group", "resource"]),
            stored: gauge(all, ("apiserver_storage_objects", "Objects that are stored, by resource."), &["resource"]),
            watch_cache: gauge(
                all,
                ("apiserver_watch_cache_resource_version", "The version that the objects in memory show."),
                &["group", "resource"],
            ),
            check: gauge(&checks, ("kubernetes_healthcheck", "Whether a health check passes."), &["name", "type"]),
            check_results: counter(
                &checks,
                ("kubernetes_healthchecks_total", "Results of health checks."),
                &["name", "type", "status"],
            ),
            registry,
            checks,
        }
    }

    /// Counts an answered request.
    pub fn answered(&self, call: &Call, answer: &Reply, took: Duration) {
        let (info, verb) = (&call.info, shown_verb(call));
        let (status, number) = (answer.status(), answer.status().as_u16());
        let code = status.as_str();
        let request = labels(info, verb);
        let dry_run = call.query.text("dryRun");
        self.requests.with_label_values(&[&request[..], &[dry_run, code, ""]].concat()).inc();
        self.authenticated.with_label_values(&[shown_user(&call.user.name)]).inc();
        if matches!(number, 429 | 504) {
            self.terminations.with_label_values(&[&request[..], &[code]].concat()).inc();
        }
        if info.resource == "endpoints" && info.group.is_empty() {
            self.deprecated.with_label_values(&["", "v1", "endpoints", &info.subresource, ""]).set(1);
        }
        if info.is_long_running() {
            return;
        }
        self.durations.with_label_values(&[&request[..], &[dry_run]].concat()).observe(took.as_secs_f64());
        self.sli_durations.with_label_values(&request).observe(took.as_secs_f64());
        if let Some(size) = answer.body().size_hint().exact().filter(|_| info.is_read_only()) {
            #[allow(clippy::cast_precision_loss, reason = "buckets are coarser than that")]
            self.sizes.with_label_values(&request).observe(size as f64);
        }
    }

    /// Counts a request that got in or was turned away, if it has a class.
    pub fn entered(&self, class: &Class, refused: Option<&Refused>) {
        let labels = [class.level.as_str(), class.schema.as_str()];
        match refused {
            Some(why) => self.rejected.with_label_values(&[labels[0], labels[1], why.word()]).inc(),
            None if !class.schema.is_empty() => self.dispatched.with_label_values(&labels).inc(),
            None => {}
        }
    }

    /// Counts a watch or connection for as long as the result lives.
    #[must_use]
    pub fn open(&self, info: &RequestInfo) -> Open {
        let verb = if info.verb == "watch" { "WATCH" } else { "CONNECT" };
        let gauge = self.long_running.with_label_values(&labels(info, verb));
        gauge.inc();
        Open(gauge)
    }

    /// Everything in Prometheus' text form.
    #[must_use]
    pub fn text(&self, server: &Server) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let revision = i64::try_from(server.cacher.revision().0).unwrap_or(i64::MAX);
        for resource in server.cacher.all() {
            let (kind, count) = (resource.kind, number(resource.len()));
            let name = machinery::status::In { group: kind.group, name: kind.plural }.to_string();
            self.objects.with_label_values(&[kind.group, kind.plural]).set(count);
            self.stored.with_label_values(&[name.as_str()]).set(count);
            self.watch_cache.with_label_values(&[kind.group, kind.plural]).set(revision);
        }
        for (level, seats, taken, waiting) in server.flow.levels() {
            self.seats.with_label_values(&[&level]).set(number(seats));
            self.seats_taken.with_label_values(&[&level]).set(number(taken));
            self.waiting.with_label_values(&[&level]).set(number(waiting));
        }
        let (reading, writing) = server.flow.under_way();
        self.in_flight.with_label_values(&["readOnly"]).set(number(reading));
        self.in_flight.with_label_values(&["mutating"]).set(number(writing));
        let mut families = self.registry.gather();
        families.extend(server.allocator.metrics());
        written(&families)
    }

    /// The results of all health checks, run now, in the same form.
    pub async fn health(&self, server: &Server) -> String {
        for root in ["healthz", "livez", "readyz"] {
            for name in health::names(root) {
                let passes = health::failure(server, name).await.is_none();
                let status = if passes { "success" } else { "error" };
                self.check.with_label_values(&[name, root]).set(i64::from(passes));
                self.check_results.with_label_values(&[name, root, status]).inc();
            }
        }
        written(&self.checks.gather())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn written(families: &[MetricFamily]) -> String {
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(families, &mut out) {
        tracing::error!(%error, "the metrics cannot be written");
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A counter of `registry`.
pub fn counter(registry: &Registry, (name, help): (&str, &str), labels: &[&str]) -> IntCounterVec {
    let made = IntCounterVec::new(Opts::new(name, help), labels).expect(FITS);
    registry.register(Box::new(made.clone())).expect(FITS);
    made
}

/// A gauge of `registry`.
pub fn gauge(registry: &Registry, (name, help): (&str, &str), labels: &[&str]) -> IntGaugeVec {
    let made = IntGaugeVec::new(Opts::new(name, help), labels).expect(FITS);
    registry.register(Box::new(made.clone())).expect(FITS);
    made
}

/// A histogram of `registry`.
pub fn histogram(registry: &Registry, (name, help): (&str, &str), labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let made = HistogramVec::new(options, labels).expect(FITS);
    registry.register(Box::new(made.clone())).expect(FITS);
    made
}

/// Which build this is, as `/version` says it.
fn build_info(registry: &Registry) {
    let names = [
        ("build_date", "buildDate"),
        ("compiler", "compiler"),
        ("git_commit", "gitCommit"),
        ("git_tree_state", "gitTreeState"),
        ("git_version", "gitVersion"),
        ("go_version", "goVersion"),
        ("major", "major"),
        ("minor", "minor"),
        ("platform", "platform"),
    ];
    let version = crate::paths::version();
    let values = names.map(|(_, field)| version.str_at(&[field]).unwrap_or_default().to_owned());
    let info = gauge(registry, ("kubernetes_build_info", "Which build this is."), &names.map(|(label, _)| label));
    info.with_label_values(&values.each_ref().map(String::as_str)).set(1);
}

/// A watch or connection that is counted.
#[derive(Debug)]
pub struct Open(prometheus::IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The verb as metrics name it: the method, and what a GET of a collection is.
fn shown_verb(call: &Call) -> &'static str {
    if matches!(call.info.subresource.as_str(), "attach" | "exec" | "portforward" | "proxy") {
        return "CONNECT";
    }
    match call.info.verb.as_str() {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if call.header(http::header::CONTENT_TYPE).starts_with("application/apply-patch") => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "proxy" => "CONNECT",
        _ => "other",
    }
}

/// The user as metrics name them: people are many, the cluster's own parts are few.
fn shown_user(name: &str) -> &str {
    if name.starts_with("system:") || matches!(name, "admin" | "client" | "kube_proxy") { name } else { "other" }
}

fn labels<'a>(info: &'a RequestInfo, verb: &'a str) -> [&'a str; 7] {
    let scope = match () {
        () if !info.is_resource_request => "",
        () if !info.name.is_empty() || info.verb == "create" => "resource",
        () if !info.namespace.is_empty() => "namespace",
        () => "cluster",
    };
    [verb, &info.group, &info.version, &info.resource, &info.subresource, scope, "apiserver"]
}
