//! Records events; the caller never waits for them.

use base::{CancellationToken, Tasks};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as CoreEvent, EventSource, ObjectReference};
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use machinery::value;
use tokio::sync::mpsc;

use crate::correlator::{Correlator, Verdict};
use crate::{ApiError, Context, Kind, Occurrence, Patch};

/// So many events may wait to be written; the next ones are dropped, as in client-go.
const MAX_WAITING: usize = 1000;

/// The longest note that the events API takes.
const MAX_NOTE: usize = 1024;

/// Which API the events are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventApi {
    /// `v1`, with counts: controllers and the kubelet.
    Core,
    /// `events.k8s.io/v1`, with series: the scheduler and the proxy.
    Events,
}

/// Records events about objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Occurrence>,
}

impl Recorder {
    /// Starts to write what is recorded in the name of `component` on `host` (may be empty) until the context is
    /// cancelled.
    #[must_use]
    pub fn start(context: &Context, tasks: &mut Tasks, api: EventApi, component: &str, host: &str) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let writer = Writer {
            context: context.clone(),
            api,
            component: component.to_owned(),
            host: host.to_owned(),
            correlator: Correlator::default(),
        };
        tasks.spawn("event recorder", writer.run(receiver, context.cancel.clone()));
        Self { sender }
    }

    /// A recorder and what it records, for tests.
    #[must_use]
    pub fn channel(limit: usize) -> (Self, mpsc::Receiver<Occurrence>) {
        let (sender, receiver) = mpsc::channel(limit);
        (Self { sender }, receiver)
    }

    /// Records that something normal happened.
    pub fn normal(&self, regarding: ObjectReference, reason: &str, message: impl Into<String>) {
        self.event(regarding, "Normal", reason, message);
    }

    /// Records that something is wrong.
    pub fn warning(&self, regarding: ObjectReference, reason: &str, message: impl Into<String>) {
        self.event(regarding, "Warning", reason, message);
    }

    /// Records an event of `event_type` `Normal` or `Warning`.
    pub fn event(
        &self,
        regarding: ObjectReference,
        event_type: &'static str,
        reason: &str,
        message: impl Into<String>,
    ) {
        let (reason, message) = (reason.to_owned(), message.into());
        self.record(Occurrence { regarding, event_type, reason, message, ..Occurrence::default() });
    }

    /// Records an event with all it can have.
    pub fn record(&self, occurrence: Occurrence) {
        if let Err(error) = self.sender.try_send(occurrence) {
            tracing::debug!(%error, "an event is dropped");
        }
    }
}

/// How an event names `object`.
#[must_use]
pub fn reference<K: Kind>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

struct Writer {
    context: Context,
    api: EventApi,
    component: String,
    host: String,
    correlator: Correlator,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Occurrence>, cancel: CancellationToken) {
        while let Some(Some(occurrence)) = cancel.run_until_cancelled(receiver.recv()).await {
            let now = self.context.clock.now();
            let verdict = match self.api {
                EventApi::Core => self.correlator.correlate(&occurrence, now),
                EventApi::Events => self.correlator.series(&occurrence, now),
            };
            if let Some(Err(error)) = cancel.run_until_cancelled(self.write(&occurrence, verdict, now)).await {
                tracing::debug!(%error, reason = occurrence.reason, "an event cannot be written");
            }
        }
    }

    async fn write(&mut self, occurrence: &Occurrence, verdict: Verdict, now: Timestamp) -> Result<(), ApiError> {
        match verdict {
            Verdict::Drop => Ok(()),
            Verdict::Create { name, message } => self.create(occurrence, &name, &message, now).await,
            Verdict::Repeat { name, message, count, first } => {
                let namespace = namespace(occurrence);
                let patched = self.repeat(namespace, &name, &message, count, now).await;
                let Err(error) = patched else { return Ok(()) };
                if !error.is_not_found() {
                    return Err(error);
                }
                tracing::debug!(name, %first, "an event expired; it begins anew");
                self.correlator.forget(&name);
                let name = self.correlator.name(occurrence, now);
                self.create(occurrence, &name, &message, now).await
            }
        }
    }

    async fn create(&self, occurrence: &Occurrence, name: &str, message: &str, now: Timestamp) -> Result<(), ApiError> {
        let client = &self.context.client;
        match self.api {
            EventApi::Core => client.create(&self.core_event(occurrence, name, message, now)).await.map(drop),
            EventApi::Events => client.create(&self.event(occurrence, name, message, now)).await.map(drop),
        }
    }

    async fn repeat(
        &self,
        namespace: &str,
        name: &str,
        message: &str,
        count: i32,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let client = &self.context.client;
        match self.api {
            EventApi::Core => {
                let last = machinery::to_value(&Time(now));
                let patch = value!({"count": count, "lastTimestamp": last, "message": message});
                client.patch::<CoreEvent>(namespace, name, &Patch::Strategic(patch)).await.map(drop)
            }
            EventApi::Events => {
                let series = EventSeries { count, last_observed_time: MicroTime(now) };
                let series = machinery::to_value(&series);
                let patch = value!({"series": series});
                client.patch::<Event>(namespace, name, &Patch::Merge(patch)).await.map(drop)
            }
        }
    }

    fn core_event(&self, occurrence: &Occurrence, name: &str, message: &str, now: Timestamp) -> CoreEvent {
        CoreEvent {
            metadata: metadata(occurrence, name),
            involved_object: occurrence.regarding.clone(),
            reason: Some(occurrence.reason.clone()),
            message: Some(message.to_owned()),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            type_: Some(occurrence.event_type.to_owned()),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()),
            ..CoreEvent::default()
        }
    }

    fn event(&self, occurrence: &Occurrence, name: &str, message: &str, now: Timestamp) -> Event {
        let mut note = message.to_owned();
        note.truncate(note.floor_char_boundary(MAX_NOTE));
        Event {
            metadata: metadata(occurrence, name),
            event_time: Some(MicroTime(now)),
            regarding: Some(occurrence.regarding.clone()),
            related: occurrence.related.clone(),
            reason: Some(occurrence.reason.clone()),
            action: Some(occurrence.action.clone()),
            note: Some(note),
            type_: Some(occurrence.event_type.to_owned()),
            reporting_controller: Some(self.component.clone()),
            reporting_instance: Some(format!("{}-{}", self.component, self.host)),
            ..Event::default()
        }
    }
}

fn namespace(occurrence: &Occurrence) -> &str {
    occurrence.regarding.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
}

fn metadata(occurrence: &Occurrence, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace(occurrence).to_owned()),
        ..ObjectMeta::default()
    }
}
