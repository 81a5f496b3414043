//! Leader election on a Lease: of several instances one works.

use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Clock, Instant};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use parking_lot::Mutex;

use crate::serving::Check;
use crate::{ApiError, Context, metrics};

/// A holder that did not renew for so long has lost the lease.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// A leader that cannot renew for so long gives up: well before another may take over.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// Between attempts to take or renew the lease.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// How far chance stretches the wait of an instance that does not lead.
const RETRY_JITTER: f64 = 1.2;

/// How long an election takes and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A holder that did not renew for so long has lost the lease.
    pub lease_duration: Duration,
    /// A leader that cannot renew for so long gives up.
    pub renew_deadline: Duration,
    /// Between attempts to take or renew the lease.
    pub retry_period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { lease_duration: LEASE_DURATION, renew_deadline: RENEW_DEADLINE, retry_period: RETRY_PERIOD }
    }
}

/// Which lease to hold, and as whom.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// This instance.
    pub identity: String,
    /// Is told how the election goes.
    pub watchdog: Watchdog,
}

/// Who leads and could not renew its lease for so long after it ran out is not well.
const TOLERATED: Duration = Duration::from_secs(20);

/// Tells whether who leads keeps its lease.
#[derive(Debug, Clone, Default)]
pub struct Watchdog(Arc<Mutex<Option<Held>>>);

/// A lease that is held.
#[derive(Debug)]
struct Held {
    lease: String,
    renewed: Instant,
    duration: Duration,
}

impl Watchdog {
    /// The check that upstream's components have for this.
    #[must_use]
    pub fn check(&self, clock: &Clock, roots: &'static [&'static str]) -> Check {
        let (watchdog, clock) = (self.clone(), clock.clone());
        Check { name: "leaderElection", roots, failure: Box::new(move || watchdog.failure(clock.instant())) }
    }

    /// What is wrong; nothing where nobody leads.
    fn failure(&self, now: Instant) -> Option<String> {
        let held = self.0.lock();
        let held = held.as_ref()?;
        let is_late = now.saturating_duration_since(held.renewed) > held.duration + TOLERATED;
        is_late.then(|| format!("failed election to renew leadership on lease {}", held.lease))
    }
}

/// The lease as last seen to change, by our own clock: others' clocks do not matter.
struct Observed {
    spec: LeaseSpec,
    at: Instant,
}

/// Waits until `candidate` leads, then runs `work` with a token that is cancelled when the lead is lost or the context
/// ends. Gives back whether the context ended; otherwise the lead was lost and the process should begin anew.
pub async fn lead<F: Future<Output = ()>>(
    context: &Context,
    candidate: &Candidate,
    work: impl FnOnce(CancellationToken) -> F,
) -> bool {
    lead_timed(context, candidate, Timing::default(), work).await
}

/// As [`lead`], with other times.
pub async fn lead_timed<F: Future<Output = ()>>(
    context: &Context,
    candidate: &Candidate,
    timing: Timing,
    work: impl FnOnce(CancellationToken) -> F,
) -> bool {
    let mut election = Election { context, candidate, timing, observed: None };
    metrics::leads(&candidate.name, false);
    if context.cancel.run_until_cancelled(election.acquire()).await.is_none() {
        return true;
    }
    tracing::info!(identity = candidate.identity, lease = candidate.name, "leading");
    metrics::leads(&candidate.name, true);
    let token = context.cancel.child_token();
    let working = work(token.clone());
    tokio::pin!(working);
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => {}
        () = &mut working => {}
        () = election.renew() => tracing::error!(lease = candidate.name, "the lead is lost"),
    }
    let ended = context.cancel.is_cancelled();
    token.cancel();
    metrics::leads(&candidate.name, false);
    *candidate.watchdog.0.lock() = None;
    if ended {
        working.await;
        election.release().await;
    }
    ended
}

struct Election<'a> {
    context: &'a Context,
    candidate: &'a Candidate,
    timing: Timing,
    observed: Option<Observed>,
}

impl Election<'_> {
    async fn acquire(&mut self) {
        while !self.attempt().await {
            let wait = self.timing.retry_period.mul_f64(1.0 + RETRY_JITTER * self.context.random.fraction());
            self.context.clock.sleep(wait).await;
        }
    }

    /// Returns when the lease could not be renewed in time.
    async fn renew(&mut self) {
        let clock = &self.context.clock;
        let mut deadline = clock.instant() + self.timing.renew_deadline;
        while clock.instant() < deadline {
            clock.sleep(self.timing.retry_period).await;
            let left = deadline.saturating_duration_since(clock.instant());
            if clock.timeout(left, self.attempt()).await == Ok(true) {
                deadline = clock.instant() + self.timing.renew_deadline;
            }
        }
    }

    fn note(&self, held: bool) {
        let renewed = self.context.clock.instant();
        let (lease, duration) = (self.candidate.name.clone(), self.timing.lease_duration);
        *self.candidate.watchdog.0.lock() = held.then_some(Held { lease, renewed, duration });
    }

    async fn attempt(&mut self) -> bool {
        match self.take().await {
            Ok(held) => {
                self.note(held);
                held
            }
            Err(error) => {
                tracing::debug!(%error, lease = self.candidate.name, "cannot take or renew the lease");
                false
            }
        }
    }

    async fn take(&mut self) -> Result<bool, ApiError> {
        let Candidate { namespace, name, .. } = self.candidate;
        let (client, now) = (&self.context.client, self.context.clock.now());
        let mut lease = match client.get::<Lease>(namespace, name).await {
            Err(error) if error.is_not_found() => {
                client.create(&self.first(now)).await?;
                return Ok(true);
            }
            other => other?,
        };
        let spec = lease.spec.unwrap_or_default();
        self.observe(&spec);
        if !self.may_take(&spec) {
            return Ok(false);
        }
        lease.spec = Some(self.next(spec, now));
        client.update(&lease).await?;
        Ok(true)
    }

    fn observe(&mut self, spec: &LeaseSpec) {
        if self.observed.as_ref().is_none_or(|observed| observed.spec != *spec) {
            self.observed = Some(Observed { spec: spec.clone(), at: self.context.clock.instant() });
        }
    }

    fn may_take(&self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
        let expired = self.observed.as_ref().is_none_or(|observed| {
            self.context.clock.instant().saturating_duration_since(observed.at) >= Duration::from_secs(seconds)
        });
        holder.is_empty() || holder == self.candidate.identity || expired
    }

    fn first(&self, now: Timestamp) -> Lease {
        let metadata = ObjectMeta {
            name: Some(self.candidate.name.clone()),
            namespace: Some(self.candidate.namespace.clone()),
            ..ObjectMeta::default()
        };
        let mut spec = self.next(LeaseSpec::default(), now);
        spec.lease_transitions = Some(0);
        Lease { metadata, spec: Some(spec) }
    }

    fn next(&self, spec: LeaseSpec, now: Timestamp) -> LeaseSpec {
        let ours = spec.holder_identity.as_deref() == Some(&self.candidate.identity);
        let transitions = spec.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.candidate.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.lease_duration.as_secs()).ok(),
            acquire_time: if ours { spec.acquire_time } else { Some(MicroTime(now)) },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if ours { transitions } else { transitions + 1 }),
            ..spec
        }
    }

    /// Lets others take over at once.
    async fn release(&self) {
        let Candidate { namespace, name, identity, .. } = self.candidate;
        let Ok(mut lease) = self.context.client.get::<Lease>(namespace, name).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(identity) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(self.context.clock.now()));
        if let Err(error) = self.context.client.update(&lease).await {
            tracing::debug!(%error, lease = name, "cannot release the lease");
        }
    }
}
