//! What is counted of priority and fairness, under upstream's names.

use std::sync::Arc;

use base::metrics::{Counter, Counters, Gauge, Gauges, Histogram, Histograms, Registry, alpha, beta};
use base::{Clock, Instant};

use super::Refused;

/// The buckets of waiting and of being executed.
const DURATIONS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];

const FLOW: [&str; 2] = ["priority_level", "flow_schema"];

/// The families.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) registry: Registry,
    dispatched: Counters,
    rejected: Counters,
    waited: Histograms,
    executed: Histograms,
    executing: Gauges,
    seats: Gauges,
    queued: Gauges,
    estimated: Histograms,
    nominal: Gauges,
    limit: Gauges,
}

/// The cells of one schema at its level.
#[derive(Debug)]
pub struct OfFlow {
    level: String,
    schema: String,
    rejected: Counters,
    dispatched: Arc<Counter>,
    waited: Arc<Histogram>,
    waited_in_vain: Arc<Histogram>,
    executed: Arc<Histogram>,
    executing: Arc<Gauge>,
    seats: Arc<Gauge>,
    queued: Arc<Gauge>,
    estimated: Arc<Histogram>,
}

impl Families {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        let level = ["priority_level"];
        Self {
            dispatched: all
                .counters(beta("apiserver_flowcontrol_dispatched_requests_total", "Requests that got in."), &FLOW),
            rejected: all.counters(
                beta("apiserver_flowcontrol_rejected_requests_total", "Requests that were turned away."),
                &["priority_level", "flow_schema", "reason"],
            ),
            waited: all.histograms(
                beta("apiserver_flowcontrol_request_wait_duration_seconds", "How long requests waited for a seat."),
                &["priority_level", "flow_schema", "execute"],
                &DURATIONS,
            ),
            executed: all.histograms(
                alpha("apiserver_flowcontrol_request_execution_seconds", "How long requests kept their seat."),
                &["priority_level", "flow_schema", "type"],
                &DURATIONS,
            ),
            executing: all
                .gauges(beta("apiserver_flowcontrol_current_executing_requests", "Requests that have a seat."), &FLOW),
            seats: all.gauges(beta("apiserver_flowcontrol_current_executing_seats", "Seats that are taken."), &FLOW),
            queued: all.gauges(
                beta("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat."),
                &FLOW,
            ),
            estimated: all.histograms(
                alpha("apiserver_flowcontrol_work_estimated_seats", "How many seats requests were given."),
                &FLOW,
                &[1.0, 2.0, 4.0, 10.0],
            ),
            nominal: all.gauges(
                beta("apiserver_flowcontrol_nominal_limit_seats", "Seats that a level is entitled to."),
                &level,
            ),
            limit: all.gauges(alpha("apiserver_flowcontrol_current_limit_seats", "Seats that a level has."), &level),
            registry,
        }
    }

    /// The cells of `schema`, whose requests belong to `level`.
    pub(super) fn of(&self, level: &str, schema: &str) -> Arc<OfFlow> {
        let flow = [level, schema];
        let waited = |execute| self.waited.with(&[level, schema, execute]);
        Arc::new(OfFlow {
            level: level.to_owned(),
            schema: schema.to_owned(),
            rejected: self.rejected.clone(),
            dispatched: self.dispatched.with(&flow),
            waited: waited("true"),
            waited_in_vain: waited("false"),
            executed: self.executed.with(&[level, schema, "regular"]),
            executing: self.executing.with(&flow),
            seats: self.seats.with(&flow),
            queued: self.queued.with(&flow),
            estimated: self.estimated.with(&flow),
        })
    }

    /// A level has so many seats.
    pub(super) fn configured(&self, level: &str, seats: usize) {
        self.nominal.with(&[level]).set_count(seats);
        self.limit.with(&[level]).set_count(seats);
    }
}

impl OfFlow {
    /// A request got in that needs no seat.
    pub(super) fn passed(&self) {
        self.dispatched.inc();
    }

    /// A request got a seat after it came at `came`.
    pub(super) fn seated(self: &Arc<Self>, came: Instant, clock: &Clock) -> Executing {
        let began = clock.instant();
        self.dispatched.inc();
        self.waited.took(began.saturating_duration_since(came));
        self.estimated.observe(1.0);
        self.executing.inc();
        self.seats.inc();
        Executing { flow: self.clone(), clock: clock.clone(), began }
    }

    /// A request that came at `came` was turned away.
    pub(super) fn refused(&self, why: Refused, came: Instant, clock: &Clock) {
        self.rejected.with(&[&self.level, &self.schema, why.word()]).inc();
        self.waited_in_vain.took(clock.instant().saturating_duration_since(came));
    }

    /// A request waits, for as long as the result lives.
    pub(super) fn waits(&self) -> Waiting {
        self.queued.inc();
        Waiting(self.queued.clone())
    }
}

/// A request that has a seat.
#[derive(Debug)]
pub struct Executing {
    flow: Arc<OfFlow>,
    clock: Clock,
    began: Instant,
}

impl Drop for Executing {
    fn drop(&mut self) {
        self.flow.executing.dec();
        self.flow.seats.dec();
        self.flow.executed.took(self.clock.instant().saturating_duration_since(self.began));
    }
}

/// A request that waits for a seat.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Gauge>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
