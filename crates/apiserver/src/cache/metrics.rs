//! What is counted of stored objects, resource by resource, under upstream's names.

use std::sync::Arc;
use std::time::Duration;

use base::metrics::{Counter, Counters, Gauge, Gauges, Histogram, Histograms, Registry, alpha, exponential, stable};
use kinds::Kind;

use crate::metrics::{DURATIONS, Late};

/// The buckets of waits for the cache to catch up.
const WAITS: [f64; 13] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0];

/// The buckets of the time until a watcher has all that was there when it came.
const WATCH_LISTS: [f64; 17] =
    [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// One entry is read.
    Get,
    /// Entries are read.
    List,
    /// An entry is made.
    Create,
    /// An entry is replaced.
    Update,
    /// An entry is removed.
    Delete,
}

const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::Get, "get"),
    (Operation::List, "list"),
    (Operation::Create, "create"),
    (Operation::Update, "update"),
    (Operation::Delete, "delete"),
];

/// The families.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) registry: Registry,
    requests: Counters,
    errors: Counters,
    durations: Histograms,
    events: Counters,
    received: Counters,
    dispatched: Counters,
    initializations: Counters,
    consistent_reads: Counters,
    waits: Histograms,
    lists: Counters,
    fetched: Counters,
    returned: Counters,
    stored_lists: Counters,
    stored_fetched: Counters,
    stored_evaluated: Counters,
    stored_returned: Counters,
    watch_events: Counters,
    watch_sizes: Histograms,
    watch_lists: Histograms,
    objects: Gauges,
    stored: Gauges,
    bytes: Gauges,
    version: Gauges,
}

/// The cells of one resource.
#[derive(Debug)]
pub struct OfResource {
    /// Of each operation, how often it was asked for and how long it took.
    operations: [(Late<Counter>, Late<Histogram>); OPERATIONS.len()],
    families: Arc<Families>,
    group: &'static str,
    resource: &'static str,
    events: Arc<Counter>,
    received: Arc<Counter>,
    dispatched: Arc<Counter>,
    initializations: Arc<Counter>,
    consistent: Arc<Counter>,
    inconsistent: Arc<Counter>,
    waits: Arc<Histogram>,
    lists: Arc<Counter>,
    fetched: Arc<Counter>,
    returned: Arc<Counter>,
    stored_lists: Arc<Counter>,
    stored_fetched: Arc<Counter>,
    stored_evaluated: Arc<Counter>,
    stored_returned: Arc<Counter>,
    objects: Arc<Gauge>,
    stored: Arc<Gauge>,
    bytes: Arc<Gauge>,
    version: Arc<Gauge>,
}

impl Families {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        let of = ["group", "resource"];
        let count = |name, help| all.counters(alpha(name, help), &of);
        Self {
            requests: all
                .counters(alpha("etcd_requests_total", "Requests to the store."), &["operation", "group", "resource"]),
            errors: all.counters(
                alpha("etcd_request_errors_total", "Requests that the store could not answer."),
                &["operation", "group", "resource"],
            ),
            durations: all.histograms(
                alpha("etcd_request_duration_seconds", "How long the store took to answer."),
                &["operation", "group", "resource"],
                &DURATIONS,
            ),
            events: count("apiserver_storage_events_received_total", "Changes that the store told."),
            received: count("apiserver_watch_cache_events_received_total", "Changes that came into the cache."),
            dispatched: count("apiserver_watch_cache_events_dispatched_total", "Changes that watchers were told of."),
            initializations: count("apiserver_watch_cache_initializations_total", "How often the cache was filled."),
            consistent_reads: all.counters(
                alpha(
                    "apiserver_watch_cache_consistent_read_total",
                    "Reads of what is now that the cache answered after it caught up.",
                ),
                &["group", "resource", "success", "fallback"],
            ),
            waits: all.histograms(
                alpha("apiserver_watch_cache_read_wait_seconds", "How long reads waited for the cache to catch up."),
                &of,
                &WAITS,
            ),
            lists: all.counters(
                alpha("apiserver_cache_list_total", "Lists that the cache answered."),
                &["group", "resource", "index"],
            ),
            fetched: all.counters(
                alpha("apiserver_cache_list_fetched_objects_total", "Objects that lists looked at in the cache."),
                &["group", "resource", "index"],
            ),
            returned: count("apiserver_cache_list_returned_objects_total", "Objects that lists gave from the cache."),
            stored_lists: count("apiserver_storage_list_total", "Lists that the store answered."),
            stored_fetched: count("apiserver_storage_list_fetched_objects_total", "Objects read from the store."),
            stored_evaluated: count(
                "apiserver_storage_list_evaluated_objects_total",
                "Objects from the store that were compared with a selector.",
            ),
            stored_returned: count("apiserver_storage_list_returned_objects_total", "Objects given from the store."),
            watch_events: all.counters(
                alpha("apiserver_watch_events_total", "Events that were sent to watchers."),
                &["group", "version", "resource"],
            ),
            watch_sizes: all.histograms(
                alpha("apiserver_watch_events_sizes", "Sizes of the events that were sent to watchers."),
                &["group", "version", "resource"],
                &exponential(1024.0, 2.0, 8),
            ),
            watch_lists: all.histograms(
                alpha("apiserver_watch_list_duration_seconds", "How long it took to send what was there at first."),
                &["group", "version", "resource", "scope"],
                &WATCH_LISTS,
            ),
            objects: all.gauges(alpha("apiserver_resource_objects", "Objects that are stored."), &of),
            stored: all.gauges(
                stable("apiserver_storage_objects", "Objects that are stored; apiserver_resource_objects tells more."),
                &["resource"],
            ),
            bytes: all.gauges(
                alpha("apiserver_resource_size_estimate_bytes", "How large the stored objects are together."),
                &of,
            ),
            version: all.gauges(
                alpha("apiserver_watch_cache_resource_version", "The version that the objects in memory show."),
                &of,
            ),
            registry,
        }
    }

    /// The cells of the resource of `kind`.
    pub(super) fn of(self: &Arc<Self>, kind: &Kind) -> OfResource {
        let (group, resource) = (kind.group, kind.plural);
        let of = [group, resource];
        let name = machinery::status::In { group, name: resource }.to_string();
        OfResource {
            operations: Default::default(),
            group,
            resource,
            events: self.events.with(&of),
            received: self.received.with(&of),
            dispatched: self.dispatched.with(&of),
            initializations: self.initializations.with(&of),
            consistent: self.consistent_reads.with(&[group, resource, "true", "false"]),
            inconsistent: self.consistent_reads.with(&[group, resource, "false", "false"]),
            waits: self.waits.with(&of),
            lists: self.lists.with(&[group, resource, ""]),
            fetched: self.fetched.with(&[group, resource, ""]),
            returned: self.returned.with(&of),
            stored_lists: self.stored_lists.with(&of),
            stored_fetched: self.stored_fetched.with(&of),
            stored_evaluated: self.stored_evaluated.with(&of),
            stored_returned: self.stored_returned.with(&of),
            objects: self.objects.with(&of),
            stored: self.stored.with(&[&name]),
            bytes: self.bytes.with(&of),
            version: self.version.with(&of),
            families: self.clone(),
        }
    }
}

impl OfResource {
    /// The store was asked, and took so long.
    pub fn asked(&self, operation: Operation, took: Duration, failed: bool) {
        let at = OPERATIONS.iter().position(|(known, _)| *known == operation).unwrap_or(0);
        let labels = [OPERATIONS[at].1, self.group, self.resource];
        let (requests, durations) = &self.operations[at];
        requests.get_or_init(|| self.families.requests.with(&labels)).inc();
        durations.get_or_init(|| self.families.durations.with(&labels)).took(took);
        if failed {
            self.families.errors.with(&labels).inc();
        }
    }

    /// A change came from the store and was told.
    pub(super) fn changed(&self) {
        self.events.inc();
        self.received.inc();
        self.dispatched.inc();
    }

    /// All objects were read from the store.
    pub(super) fn filled(&self, objects: usize) {
        self.initializations.inc();
        self.listed_from_store(objects, 0, objects);
    }

    /// A read waited until the cache had caught up, or had to give up.
    pub fn waited(&self, took: Duration, caught_up: bool) {
        self.waits.took(took);
        if caught_up { &self.consistent } else { &self.inconsistent }.inc();
    }

    /// The cache answered a list.
    pub fn listed(&self, fetched: usize, returned: usize) {
        self.lists.inc();
        self.fetched.add(fetched as u64);
        self.returned.add(returned as u64);
    }

    /// The store answered a list.
    pub fn listed_from_store(&self, fetched: usize, evaluated: usize, returned: usize) {
        self.stored_lists.inc();
        self.stored_fetched.add(fetched as u64);
        self.stored_evaluated.add(evaluated as u64);
        self.stored_returned.add(returned as u64);
    }

    /// What a watcher of this resource, served in this version, counts.
    #[must_use]
    pub fn watcher(&self, kind: &Kind) -> OfWatchers {
        let of = [kind.group, kind.version, kind.plural];
        OfWatchers { events: self.families.watch_events.with(&of), sizes: self.families.watch_sizes.with(&of) }
    }

    /// A watcher that began with what was there has got all of it.
    pub fn watch_listed(&self, kind: &Kind, scope: &str, took: Duration) {
        self.families.watch_lists.with(&[kind.group, kind.version, kind.plural, scope]).took(took);
    }

    /// How things are now.
    pub(super) fn look(&self, objects: usize, bytes: usize, revision: store::Revision) {
        self.objects.set_count(objects);
        self.stored.set_count(objects);
        self.bytes.set_count(bytes);
        self.version.set_count(usize::try_from(revision.0).unwrap_or(usize::MAX));
    }
}

/// The cells of watchers of a kind.
#[derive(Debug)]
pub struct OfWatchers {
    events: Arc<Counter>,
    sizes: Arc<Histogram>,
}

impl OfWatchers {
    /// An event was sent.
    pub fn sent(&self, bytes: usize) {
        self.events.inc();
        crate::metrics::observe_count(&self.sizes, bytes);
    }
}
