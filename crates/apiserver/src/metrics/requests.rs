//! What is counted of requests that are routed, by what they ask for.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use base::metrics::{Counters, Gauge, Gauges, Histogram, Histograms, Registry, alpha, stable};
use base::{Clock, Instant};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use kinds::{Kind, Subresource};

use super::{DURATIONS, Late};
use crate::call::Call;
use crate::reply::{Body, BoxError, Reply};

/// The buckets of durations as service levels count them.
const SLI_DURATIONS: [f64; 21] =
    [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

/// The buckets of the sizes of answers: 1,000 bytes and each ten times as many.
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What tells requests apart in most families.
const REQUEST: [&str; 7] = ["verb", "group", "version", "resource", "subresource", "scope", "component"];

/// The codes that have a cell of their own beforehand.
const CODES: [u16; 16] = [200, 201, 202, 304, 400, 401, 403, 404, 409, 410, 415, 422, 429, 500, 503, 504];

/// What a dry run is to metrics.
const DRY_RUNS: [&str; 3] = ["", "All", "invalid"];

/// The verbs.
const VERBS: [&str; 10] =
    ["GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION", "CONNECT"];

/// Where a request looks.
const SCOPES: [&str; 3] = ["cluster", "namespace", "resource"];

/// How strictly fields are checked.
const VALIDATIONS: [&str; 5] = ["", "Ignore", "Warn", "Strict", "invalid"];

/// Paths that are counted.
const PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Whose requests are the server's own.
const OWN_USER: &str = "system:apiserver";

/// What is asked for, as addresses and places in the lists above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    kind: usize,
    part: usize,
    verb: usize,
    scope: usize,
}

#[derive(Debug, Clone)]
struct Families {
    totals: Counters,
    durations: Histograms,
    sli_durations: Histograms,
    sizes: Histograms,
    body_sizes: Histograms,
    validations: [Arc<Histogram>; VALIDATIONS.len()],
    terminations: Counters,
    aborts: Counters,
    own: Counters,
    deprecated: Gauges,
    long_running: Gauges,
}

/// The cells of all requests.
#[derive(Debug)]
pub(super) struct Requests {
    families: Families,
    known: ArcSwap<HashMap<Key, Arc<OfRequests>>>,
    paths: [Arc<OfRequests>; PATHS.len()],
}

/// The cells of requests that ask for the same.
#[derive(Debug)]
pub struct OfRequests {
    families: Families,
    labels: [String; 7],
    totals: [[Late<base::metrics::Counter>; CODES.len()]; DRY_RUNS.len()],
    durations: [Late<Histogram>; DRY_RUNS.len()],
    sli_durations: Late<Histogram>,
    sizes: Late<Histogram>,
    body_sizes: Late<Histogram>,
}

/// What is known of an answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) sent_bytes: Option<u64>,
    pub(super) took: Duration,
}

impl Requests {
    pub(super) fn new(all: &Registry) -> Self {
        let families = Families::new(all);
        let of_path = |path: &str| {
            let labels = ["GET", "", "", "", path, "", ""].map(str::to_owned);
            Arc::new(OfRequests::new(families.clone(), labels))
        };
        Self { paths: PATHS.map(of_path), families, known: ArcSwap::default() }
    }

    /// The cells of a request for `kind`, or for a part of it.
    pub(super) fn of(&self, call: &Call, kind: &'static Kind, part: Option<&'static Subresource>) -> Counted {
        let key = Key {
            kind: std::ptr::from_ref(kind).addr(),
            part: part.map_or(0, |part| std::ptr::from_ref(part).addr()),
            verb: verb(call),
            scope: scope(call),
        };
        if let Some(cells) = self.known.load().get(&key) {
            return Counted::new(cells.clone());
        }
        let made = Arc::new(self.make(key, kind, part));
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.entry(key).or_insert_with(|| made.clone());
            known
        });
        Counted::new(made)
    }

    /// The cells of a request for a path, where that is counted.
    pub(super) fn of_path(&self, path: &str) -> Option<Counted> {
        let at = PATHS.iter().position(|known| *known == path)?;
        Some(Counted::new(self.paths[at].clone()))
    }

    fn make(&self, key: Key, kind: &Kind, part: Option<&Subresource>) -> OfRequests {
        let part = part.map_or("", |part| part.name);
        let labels = [VERBS[key.verb], kind.group, kind.version, kind.plural, part, SCOPES[key.scope], "apiserver"];
        if matches!((kind.group, kind.plural), ("", "endpoints" | "componentstatuses")) {
            self.families.deprecated.with(&[kind.group, kind.version, kind.plural, part, ""]).set(1.0);
        }
        OfRequests::new(self.families.clone(), labels.map(str::to_owned))
    }
}

impl Families {
    fn new(all: &Registry) -> Self {
        let with = |more: &[&'static str]| [&REQUEST[..], more].concat();
        let validations = all.histograms(
            alpha("field_validation_request_duration_seconds", "How long answers took, by fieldValidation."),
            &["field_validation"],
            &DURATIONS,
        );
        let body_sizes: Vec<f64> = (0..31).map(|step| f64::from(50_000 + step * 100_000)).collect();
        Self {
            // Prometheus takes an empty label for none: upstream's own server has no `system_client`.
            totals: all.counters(
                stable("apiserver_request_total", "Requests answered."),
                &with(&["dry_run", "code", "system_client"]),
            ),
            durations: all.histograms(
                stable("apiserver_request_duration_seconds", "How long answers took."),
                &with(&["dry_run"]),
                &DURATIONS,
            ),
            sli_durations: all.histograms(
                alpha("apiserver_request_sli_duration_seconds", "How long answers took, without the wait for a seat."),
                &REQUEST,
                &SLI_DURATIONS,
            ),
            sizes: all.histograms(stable("apiserver_response_sizes", "Sizes of answers in bytes."), &REQUEST, &SIZES),
            body_sizes: all.histograms(
                alpha("apiserver_request_body_size_bytes", "Sizes of the bodies of requests."),
                &["resource", "verb", "group"],
                &body_sizes,
            ),
            validations: VALIDATIONS.map(|validation| validations.with(&[validation])),
            terminations: all.counters(
                alpha("apiserver_request_terminations_total", "Requests that the server ended to protect itself."),
                &with(&["code"]),
            ),
            aborts: all.counters(
                alpha("apiserver_request_aborts_total", "Requests that were ended without an answer."),
                &REQUEST[..6],
            ),
            own: all.counters(
                alpha("apiserver_selfrequest_total", "Requests of the server to itself."),
                &["verb", "group", "resource", "subresource"],
            ),
            deprecated: all.gauges(
                stable("apiserver_requested_deprecated_apis", "Deprecated resources that somebody asked for."),
                &["group", "version", "resource", "subresource", "removed_release"],
            ),
            long_running: all
                .gauges(stable("apiserver_longrunning_requests", "Watches and connections that are open."), &REQUEST),
        }
    }
}

impl OfRequests {
    fn new(families: Families, labels: [String; 7]) -> Self {
        Self {
            families,
            labels,
            totals: Default::default(),
            durations: Default::default(),
            sli_durations: Late::new(),
            sizes: Late::new(),
            body_sizes: Late::new(),
        }
    }

    fn labels(&self) -> [&str; 7] {
        self.labels.each_ref().map(String::as_str)
    }

    fn with<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&self.labels()[..], more].concat()
    }

    fn count(&self, code: http::StatusCode, dry_run: usize) {
        let cell = || self.families.totals.with(&self.with(&[DRY_RUNS[dry_run], code.as_str(), ""]));
        match CODES.iter().position(|known| *known == code.as_u16()) {
            Some(at) => self.totals[dry_run][at].get_or_init(cell).inc(),
            None => cell().inc(),
        }
        if matches!(code.as_u16(), 429 | 504) {
            self.families.terminations.with(&self.with(&[code.as_str()])).inc();
        }
    }

    fn took(&self, took: Duration, waited: Duration, dry_run: usize) {
        let cell = || self.families.durations.with(&self.with(&[DRY_RUNS[dry_run]]));
        self.durations[dry_run].get_or_init(cell).took(took);
        let cell = || self.families.sli_durations.with(&self.labels());
        self.sli_durations.get_or_init(cell).took(took.saturating_sub(waited));
    }

    fn sized(&self, bytes: u64) {
        if matches!(self.labels[0].as_str(), "GET" | "LIST") {
            observe(self.sizes.get_or_init(|| self.families.sizes.with(&self.labels())), bytes);
        }
    }

    fn read_body(&self, call: &Call, bytes: u64) {
        let [_, group, _, resource, ..] = self.labels();
        let verb = match call.info.verb.as_str() {
            verb @ ("create" | "update" | "patch" | "delete" | "deletecollection") => verb,
            _ => return,
        };
        let cell = || self.families.body_sizes.with(&[resource, verb, group]);
        observe(self.body_sizes.get_or_init(cell), bytes);
    }
}

#[allow(clippy::cast_precision_loss, reason = "buckets are coarser than that")]
fn observe(histogram: &Histogram, bytes: u64) {
    histogram.observe(bytes as f64);
}

/// A request that is to be counted: when it is answered, or when it is dropped without that.
#[derive(Debug)]
pub struct Counted {
    cells: Arc<OfRequests>,
    is_answered: bool,
}

impl Counted {
    fn new(cells: Arc<OfRequests>) -> Self {
        Self { cells, is_answered: false }
    }

    pub(super) fn open(&self) -> Open {
        let gauge = self.cells.families.long_running.with(&self.cells.labels());
        gauge.inc();
        Open(gauge)
    }

    pub(super) fn answered(mut self, call: &Call, answer: Reply, told: &Answered) -> Reply {
        self.is_answered = true;
        let (cells, dry_run) = (self.cells.clone(), dry_run(call));
        cells.count(answer.status(), dry_run);
        if call.user.name == OWN_USER {
            let [verb, group, _, resource, subresource, ..] = cells.labels();
            cells.families.own.with(&[verb, group, resource, subresource]).inc();
        }
        if let Some(bytes) = told.sent_bytes {
            cells.read_body(call, bytes);
        }
        cells.families.validations[validation(call)].took(told.took);
        let size = answer.body().size_hint().exact();
        if size.is_some() {
            cells.took(told.took, call.waited, dry_run);
            size.into_iter().for_each(|bytes| cells.sized(bytes));
            return answer;
        }
        let clock = Clock::system();
        let started = clock.instant().checked_sub(told.took).unwrap_or_else(|| clock.instant());
        let (waited, bytes) = (call.waited, 0);
        answer.map(|inner| Measured { inner, cells, clock, started, waited, dry_run, bytes }.boxed_unsync())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.is_answered {
            self.cells.families.aborts.with(&self.cells.labels()[..6]).inc();
        }
    }
}

/// A body that is sent piece by piece; when it ends, its size and how long all took are counted.
struct Measured {
    inner: Body,
    cells: Arc<OfRequests>,
    clock: Clock,
    started: Instant,
    waited: Duration,
    dry_run: usize,
    bytes: u64,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let took = self.clock.instant().saturating_duration_since(self.started);
        self.cells.took(took, self.waited, self.dry_run);
        self.cells.sized(self.bytes);
    }
}

/// A watch or connection that is counted.
#[derive(Debug)]
pub struct Open(Arc<Gauge>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The verb as metrics name it: the method, and what a GET of a collection is.
fn verb(call: &Call) -> usize {
    let shown = match call.info.verb.as_str() {
        _ if matches!(call.info.subresource.as_str(), "attach" | "exec" | "portforward" | "proxy") => "CONNECT",
        "proxy" => "CONNECT",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" => "POST",
        "update" => "PUT",
        "patch" if call.header(http::header::CONTENT_TYPE).starts_with("application/apply-patch") => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "GET",
    };
    VERBS.iter().position(|verb| *verb == shown).unwrap_or(0)
}

fn scope(call: &Call) -> usize {
    let info = &call.info;
    match () {
        () if info.parts.len() > 1 || info.verb == "create" => 2,
        () if !info.namespace.is_empty() => 1,
        () => 0,
    }
}

fn dry_run(call: &Call) -> usize {
    let asked = call.query.text("dryRun");
    DRY_RUNS.iter().position(|known| *known == asked).unwrap_or(DRY_RUNS.len() - 1)
}

fn validation(call: &Call) -> usize {
    let asked = call.query.text("fieldValidation");
    VALIDATIONS.iter().position(|known| *known == asked).unwrap_or(VALIDATIONS.len() - 1)
}
