//! Priority and fairness (KEP-1040): who gets in now, who waits, who is turned away.
//!
//! FlowSchemas say which priority level a request belongs to and what tells its flow from others; a level has so many
//! seats and queues for those who wait. Where no schema fits (a server that is being set up has none yet), two plain
//! limits hold: so many reads, so many writes. Watches and connections are not counted.

mod level;
mod metrics;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::Clock;
use base::metrics::Registry;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use kinds::Kind;
use machinery::{Value, meta};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use level::Refused;
use level::{Level, Seat};
use metrics::{Executing, Families, OfFlow};
use schema::Schema;

use crate::cache::Observer;
use crate::reply::{self, Reply};
use crate::{RequestInfo, User};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMAS: &str = "flowschemas";
const LEVELS: &str = "prioritylevelconfigurations";

/// When a request that is turned away may come back, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Who always gets in where no schema says so, so that an overloaded server can be mended.
const EXEMPT_GROUP: &str = "system:masters";

const SCHEMA_HEADER: &str = "x-kubernetes-pf-flowschema-uid";
const LEVEL_HEADER: &str = "x-kubernetes-pf-prioritylevel-uid";

/// What is configured, and who is in.
pub struct Flow {
    reading: Limit,
    writing: Limit,
    /// How long a request may wait in a queue.
    patience: Duration,
    clock: Clock,
    objects: Mutex<Objects>,
    config: ArcSwap<Config>,
    metrics: Families,
    /// How many reads and how many writes wait.
    waiting: [AtomicUsize; 2],
}

/// The configuration as it is stored, by name.
#[derive(Default)]
struct Objects {
    schemas: BTreeMap<String, Schema>,
    levels: BTreeMap<String, Value>,
}

/// The configuration as requests meet it.
#[derive(Default)]
struct Config {
    /// The first one that fits counts.
    schemas: Vec<Schema>,
    levels: BTreeMap<String, Arc<Level>>,
    /// What is counted of each of `schemas`.
    counts: Vec<Arc<OfFlow>>,
}

#[derive(Debug)]
struct Limit {
    places: Arc<Semaphore>,
    size: usize,
}

impl Limit {
    fn new(size: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(size)), size }
    }

    fn taken(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }
}

/// Which schema and level a request belongs to.
#[derive(Debug, Clone, Default)]
pub struct Class {
    /// The schema's name.
    pub schema: String,
    /// The level's name.
    pub level: String,
    uids: Option<(HeaderValue, HeaderValue)>,
}

impl Class {
    /// Tells the client how its request was classified.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if let Some((schema, level)) = &self.uids {
            headers.insert(HeaderName::from_static(SCHEMA_HEADER), schema.clone());
            headers.insert(HeaderName::from_static(LEVEL_HEADER), level.clone());
        }
    }
}

/// A place among the requests under way; given back when dropped.
#[derive(Debug)]
pub enum Place {
    /// Nobody counts it.
    Free,
    /// One of the plain limits'.
    Permit(OwnedSemaphorePermit),
    /// A level's, and the plain limit's count if there was room.
    Seat(Seat, Option<OwnedSemaphorePermit>, Executing),
}

impl Flow {
    /// So many reads and so many writes at once; the levels share the sum.
    #[must_use]
    pub fn new(reading: usize, writing: usize, patience: Duration, clock: Clock) -> Self {
        Self {
            reading: Limit::new(reading),
            writing: Limit::new(writing),
            patience,
            clock,
            objects: Mutex::default(),
            config: ArcSwap::default(),
            metrics: Families::new(),
            waiting: Default::default(),
        }
    }

    /// Finds the class of a request and takes a place, which may take a while.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn enter(&self, user: &User, info: &RequestInfo) -> (Class, Result<Place, Refused>) {
        let config = self.config.load_full();
        let mut schemas = config.schemas.iter().zip(&config.counts);
        let found = schemas.find(|(schema, _)| schema.fits(user, info));
        let found = found.and_then(|(schema, counts)| Some((schema, config.levels.get(&schema.level)?, counts)));
        let limit = if info.is_read_only() { &self.reading } else { &self.writing };
        let Some((schema, level, counts)) = found else {
            return (Class::default(), limited(limit, user, info));
        };
        let class =
            Class { schema: schema.name.clone(), level: schema.level.clone(), uids: uids(&schema.uid, &level.uid) };
        if info.is_long_running() {
            counts.passed();
            return (class, Ok(Place::Free));
        }
        let came = self.clock.instant();
        match self.seat(level, schema.flow(user, info), info, counts).await {
            Ok(seat) => {
                let counted = limit.places.clone().try_acquire_owned().ok();
                (class, Ok(Place::Seat(seat, counted, counts.seated(came, &self.clock))))
            }
            Err(why) => {
                counts.refused(why, came, &self.clock);
                (class, Err(why))
            }
        }
    }

    /// A seat of `level`; who has to wait for it is counted meanwhile.
    async fn seat(&self, level: &Arc<Level>, flow: u64, info: &RequestInfo, counts: &OfFlow) -> Result<Seat, Refused> {
        let mut entering = std::pin::pin!(level.enter(flow));
        if let Poll::Ready(seat) = futures::poll!(entering.as_mut()) {
            return seat;
        }
        let _waiting = (counts.waits(), Waiting::new(&self.waiting[usize::from(!info.is_read_only())]));
        self.clock.timeout(self.patience, entering).await.unwrap_or(Err(Refused::TimeOut))
    }

    /// How many reads and how many writes are under way, and how many wait.
    #[must_use]
    pub fn by_kind(&self) -> [(&'static str, usize, usize); 2] {
        let waiting = |at: usize| self.waiting[at].load(Ordering::Relaxed);
        [("readOnly", self.reading.taken(), waiting(0)), ("mutating", self.writing.taken(), waiting(1))]
    }

    /// What is counted of all this.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.metrics.registry.clone()
    }

    /// Makes the configuration anew; levels that stay keep who is in them.
    fn configure(&self, objects: &Objects) {
        let before = self.config.load();
        let shares = |level: &Value| {
            let of = |kind: &str| level.int_at(&["spec", kind, "nominalConcurrencyShares"]);
            u64::try_from(of("limited").or_else(|| of("exempt")).unwrap_or(0)).unwrap_or(0)
        };
        let total = (self.reading.size + self.writing.size) as u64;
        let sum = objects.levels.values().map(shares).sum::<u64>().max(1);
        let levels = objects.levels.iter().map(|(name, object)| {
            let seats = usize::try_from((total * shares(object)).div_ceil(sum)).unwrap_or(usize::MAX);
            let kept = before.levels.get(name).filter(|level| level.uid == meta::uid(object)).cloned();
            let level = kept.unwrap_or_else(|| Arc::new(Level::new(meta::uid(object))));
            level.configure(object, seats);
            self.metrics.configured(name, seats);
            (name.clone(), level)
        });
        let levels = levels.collect();
        let mut schemas: Vec<Schema> = objects.schemas.values().cloned().collect();
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let counts = schemas.iter().map(|schema| self.metrics.of(&schema.level, &schema.name)).collect();
        self.config.store(Arc::new(Config { schemas, levels, counts }));
    }
}

impl Observer for Flow {
    fn wants(&self, kind: &Kind) -> bool {
        kind.group == GROUP && matches!(kind.plural, SCHEMAS | LEVELS)
    }

    fn observe(&self, kind: &Kind, _: &str, name: &str, object: Option<&Value>) {
        let mut objects = self.objects.lock();
        match (kind.plural, object) {
            (SCHEMAS, Some(object)) => drop(objects.schemas.insert(name.to_owned(), Schema::read(object))),
            (SCHEMAS, None) => drop(objects.schemas.remove(name)),
            (_, Some(object)) => drop(objects.levels.insert(name.to_owned(), object.clone())),
            (_, None) => drop(objects.levels.remove(name)),
        }
        self.configure(&objects);
    }
}

/// One more who waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The way in without schemas.
fn limited(limit: &Limit, user: &User, info: &RequestInfo) -> Result<Place, Refused> {
    if info.is_long_running() {
        return Ok(Place::Free);
    }
    match limit.places.clone().try_acquire_owned() {
        Ok(permit) => Ok(Place::Permit(permit)),
        Err(_) if user.is_in(EXEMPT_GROUP) => Ok(Place::Free),
        Err(_) => Err(Refused::ConcurrencyLimit),
    }
}

fn uids(schema: &str, level: &str) -> Option<(HeaderValue, HeaderValue)> {
    Some((HeaderValue::from_str(schema).ok()?, HeaderValue::from_str(level).ok()?))
}

/// The answer when no place is free.
#[must_use]
pub fn turned_away() -> Reply {
    let text = "Too many requests, please try again later.\n";
    let mut answer = reply::text(StatusCode::TOO_MANY_REQUESTS, text);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    let no_guessing = HeaderName::from_static("x-content-type-options");
    answer.headers_mut().insert(no_guessing, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[tokio::test]
    async fn without_schemas_writes_have_places_of_their_own() {
        let flow = Flow::new(1, 1, Duration::from_secs(1), Clock::system());
        let info = |method: &str| RequestInfo::parse(&method.parse().unwrap(), "/api/v1/pods", &Query::default());
        let (jane, admin) = (User::new("jane", &[]), User::new("admin", &["system:masters"]));
        let first = flow.enter(&jane, &info("GET")).await.1.unwrap();
        assert!(flow.enter(&jane, &info("GET")).await.1.is_err());
        assert!(flow.enter(&admin, &info("GET")).await.1.is_ok());
        let _write = flow.enter(&jane, &info("POST")).await.1.unwrap();
        assert_eq!(flow.by_kind(), [("readOnly", 1, 0), ("mutating", 1, 0)]);
        drop(first);
        assert!(flow.enter(&jane, &info("GET")).await.1.is_ok());
    }
}
