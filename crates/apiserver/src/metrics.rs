//! What the server counts, under upstream's names.
//!
//! Each part of the server has its own families; here are those of requests as a whole, and the place where all are
//! told. Invariant: who counts per request has its cells beforehand: nothing is allocated and no lock taken for it.

mod access;
mod requests;

use std::time::Duration;

use base::metrics::{Counter, Counters, Exposition, Family, Gauges, Histogram, Registry, alpha, stable, start_time};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use kinds::{Kind, Subresource};
use std::sync::Arc;

use crate::call::Call;
use crate::health;
use crate::reply::{self, Reply};
use crate::server::Server;
use access::Filters;
use requests::{Answered, Requests};
pub use requests::{Counted, Open};

/// What most metrics of requests are told apart by.
pub(crate) const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// What upstream calls its first store; there is no second one here.
const STORE: &str = "etcd-0";

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    filters: Filters,
    /// Connections whose TLS did not come about.
    pub tls_failures: Arc<Counter>,
    in_flight: Gauges,
    in_queue: Gauges,
    storage_size: Gauges,
    checks: Registry,
    check: Gauges,
    check_results: Counters,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let (registry, checks) = (Registry::new(), Registry::new());
        let all = &registry;
        Self {
            requests: Requests::new(all),
            filters: Filters::new(all),
            tls_failures: all.counter(alpha("apiserver_tls_handshake_errors_total", "TLS handshakes that failed.")),
            in_flight: all
                .gauges(stable("apiserver_current_inflight_requests", "Requests under way."), &["request_kind"]),
            in_queue: all.gauges(
                alpha("apiserver_current_inqueue_requests", "Requests that wait for a seat."),
                &["request_kind"],
            ),
            storage_size: all.gauges(
                stable("apiserver_storage_size_bytes", "How large the store's files are."),
                &["storage_cluster_id"],
            ),
            check: checks.gauges(stable("kubernetes_healthcheck", "Whether a health check passes."), &["name", "type"]),
            check_results: checks.counters(
                stable("kubernetes_healthchecks_total", "Results of health checks."),
                &["name", "type", "status"],
            ),
            registry,
            checks,
        }
    }

    /// Notes that a request is one for `kind`, perhaps for a part of it; it is counted when it is answered.
    pub fn routed(&self, call: &mut Call, kind: &'static Kind, part: Option<&'static Subresource>) {
        call.counted = Some(self.requests.of(call, kind, part));
    }

    /// Notes that a request asks how the server is; others for paths are not counted.
    pub fn routed_to_path(&self, call: &mut Call) {
        call.counted = self.requests.of_path(call.parts.uri.path());
    }

    /// Counts an answered request, unless it was turned away before it was known what it is for. What is sent piece by
    /// piece is measured until its end.
    pub fn answered(&self, call: &mut Call, answer: Reply, sent_bytes: Option<u64>, took: Duration) -> Reply {
        let Some(counted) = call.counted.take() else { return answer };
        counted.answered(call, answer, &Answered { sent_bytes, took })
    }

    /// Whose request it was, or that this is not known, and how long it took to find out.
    pub fn authenticated(&self, user: Option<&str>, took: Duration) {
        self.filters.authenticated(user, took);
    }

    /// Whether the request was allowed, and how long it took to find out.
    pub fn authorized(&self, is_allowed: bool, took: Duration) {
        self.filters.authorized(is_allowed, took);
    }

    /// How long it took to get in.
    pub fn entered(&self, took: Duration) {
        self.filters.entered(took);
    }

    /// Counts a watch or connection for as long as the result lives.
    #[must_use]
    pub fn open(&self, call: &Call) -> Option<Open> {
        call.counted.as_ref().map(Counted::open)
    }

    /// Everything, and how things are now.
    #[must_use]
    pub fn families(&self, server: &Server) -> Vec<Family> {
        for (kind, under_way, waiting) in server.flow.by_kind() {
            self.in_flight.with(&[kind]).set_count(under_way);
            self.in_queue.with(&[kind]).set_count(waiting);
        }
        let mut families = self.registry.gather();
        for registry in server.registries() {
            families.extend(registry.gather());
        }
        base::metrics::with_process(families, machinery::release::build_info())
    }

    /// Asks the store how large it is.
    async fn look_at_store(&self, server: &Server) {
        let size = self.storage_size.with(&[STORE]);
        match server.store.size_bytes().await {
            Some(bytes) => size.set_count(usize::try_from(bytes).unwrap_or(usize::MAX)),
            None => size.clear(),
        }
    }

    /// Counts begin anew.
    pub fn reset(&self, server: &Server) {
        self.registry.reset();
        server.registries().iter().for_each(Registry::reset);
    }

    /// A health check was made.
    pub fn checked(&self, root: &str, name: &str, passes: bool) {
        self.check.with(&[name, root]).set_count(usize::from(passes));
        self.check_results.with(&[name, root, if passes { "success" } else { "error" }]).inc();
    }

    /// The results of all health checks, made now.
    pub async fn health(&self, server: &Server) -> Vec<Family> {
        for root in ["healthz", "livez", "readyz"] {
            for name in health::names(root) {
                self.checked(root, name, health::failure(server, name).await.is_none());
            }
        }
        self.checks.gather().into_iter().chain(start_time()).collect()
    }

    /// Counts of health checks begin anew.
    pub fn reset_health(&self) {
        self.checks.reset();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers `/metrics` and, with `of_health`, `/metrics/slis`.
pub async fn serve(server: &Server, call: &Call, of_health: bool) -> Reply {
    let metrics = &server.metrics;
    match (call.parts.method == Method::DELETE, of_health) {
        (false, false) => {
            metrics.look_at_store(server).await;
            exposed(metrics.families(server), call)
        }
        (false, true) => exposed(metrics.health(server).await, call),
        (true, false) => {
            metrics.reset(server);
            reply::text(StatusCode::OK, "metrics reset\n")
        }
        (true, true) => {
            metrics.reset_health();
            reply::text(StatusCode::OK, "metrics reset\n")
        }
    }
}

fn exposed(families: Vec<Family>, call: &Call) -> Reply {
    let value = |name: HeaderName| call.header(name);
    let wanted = base::metrics::Wanted::read(value(header::ACCEPT), value(header::ACCEPT_ENCODING));
    let told = Exposition::of(families, wanted);
    let mut answer = reply::with_type(StatusCode::OK, told.content_type, reply::full(told.body));
    if told.gzip {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// A cell that is made when it is first needed.
pub(crate) type Late<C> = std::sync::OnceLock<Arc<C>>;

/// So many of either.
pub(crate) fn observe_count(histogram: &Histogram, count: usize) {
    #[allow(clippy::cast_precision_loss, reason = "buckets are coarser than that")]
    histogram.observe(count as f64);
}
