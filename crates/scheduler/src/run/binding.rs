//! Binding: a decided pod gets its volumes and its node, beside the decisions about others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Instant};
use client::{ApiError, Client, Informer, Object, Patch};
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use machinery::value;
use tokio::sync::{Notify, mpsc};

use super::{Assumed, Message, Scheduler, occurrence};
use crate::change::Change;
use crate::cycle::Placement;
use crate::metrics::Ended;
use crate::plugins::Decision;
use crate::pod::PodInfo;
use crate::queue::Attempt;
use crate::run::sources::Sources;
use crate::storage::{self, SELECTED_NODE};

/// Set on a volume whose claim the scheduler or a controller chose.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Why a pod did not get its node.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("binding volumes: {0}")]
    Volumes(ApiError),
    #[error("binding volumes: context deadline exceeded")]
    Timeout,
    #[error("{0}")]
    Pod(ApiError),
}

/// How a binding ended.
pub struct Bound {
    key: Arc<str>,
    uid: String,
    profile: usize,
    attempts: u32,
    began: Instant,
    first_tried: Instant,
    result: Result<(), BindError>,
}

impl Scheduler {
    pub(super) fn bind(
        &mut self,
        profile: usize,
        attempt: Attempt,
        placement: Placement,
        began: Instant,
        sender: &mpsc::Sender<Message>,
        sources: &Sources,
    ) {
        let Attempt { pod, attempts, first_tried } = attempt;
        let Placement { node, volumes, .. } = placement;
        self.assume(&pod, &node, &volumes);
        let (client, recorder, sender) = (self.context.client.clone(), self.recorders[profile].clone(), sender.clone());
        let work = VolumeWork {
            client: client.clone(),
            clock: self.context.clock.clone(),
            claims: sources.claims.clone(),
            changed: self.claims_changed.clone(),
            limit: self.settings.profiles[profile].volume_timeout,
        };
        self.writes.spawn("bind", async move {
            let uid = pod.uid().to_owned();
            let result = async {
                work.bind(&volumes, &node).await?;
                let name = pod.pod.name();
                client.bind(pod.namespace(), name, &uid, &node).await.map_err(BindError::Pod)
            };
            let result = result.await;
            let key = pod.key.clone();
            if result.is_ok() {
                let message = format!("Successfully assigned {key} to {node}");
                recorder.record(occurrence(&pod.pod, "Normal", "Scheduled", "Binding", message));
            }
            // The receiver is gone only when the scheduler stops.
            drop(sender.send(Message::Bound(Bound { key, uid, profile, attempts, began, first_tried, result })).await);
        });
    }

    fn assume(&mut self, pod: &Arc<PodInfo>, node: &str, decision: &Decision) {
        let mut assumed = Assumed { uid: pod.uid().to_owned(), volumes: Vec::new(), claims: Vec::new() };
        for (volume, claim) in &decision.bindings {
            assumed.volumes.push(volume.name().to_owned());
            self.snapshot.storage.assumed.insert(volume.name().to_owned(), claim.key());
        }
        for provision in &decision.provisions {
            assumed.claims.push(provision.claim.key());
            self.snapshot.storage.assumed_nodes.insert(provision.claim.key(), node.to_owned());
        }
        self.assumed.insert(pod.key.clone(), assumed);
        self.snapshot.forget_nomination(&pod.key);
        self.snapshot.set_pod(node, pod.clone());
        self.changed(&Change::PodPlaced(pod.clone()));
    }

    pub(super) fn binding_ended(&mut self, end: Bound) {
        let now = self.context.clock.instant();
        let name = &self.settings.profiles[end.profile].scheduler_name;
        let Err(error) = end.result else {
            self.metrics.ended(Ended::Scheduled, name, now - end.began);
            self.metrics.placed(end.attempts, now - end.first_tried);
            return;
        };
        self.metrics.ended(Ended::Error, name, now - end.began);
        if self.assumed.get(&end.key).is_none_or(|assumed| assumed.uid != end.uid) {
            return;
        }
        tracing::warn!(pod = &*end.key, %error, "a binding failed; the pod is tried again");
        self.release(&end.key);
        let left = self.snapshot.remove_pod(&end.key);
        self.queue.failed(&end.key, now);
        if let Some(left) = left {
            if !matches!(&error, BindError::Pod(error) if error.is_not_found() || error.is_conflict()) {
                let message = error.to_string();
                let event = occurrence(&left.pod, "Warning", "FailedScheduling", "Scheduling", message);
                self.recorders[end.profile].record(event);
            }
            self.changed(&Change::PodLeft(left));
        }
    }
}

/// What it takes to give claims their volumes.
struct VolumeWork {
    client: Client,
    clock: Clock,
    claims: Informer<PersistentVolumeClaim>,
    changed: Arc<Notify>,
    limit: Duration,
}

impl VolumeWork {
    async fn bind(&self, decision: &Decision, node: &str) -> Result<(), BindError> {
        if decision.is_empty() {
            return Ok(());
        }
        for (volume, claim) in &decision.bindings {
            let client = &self.client;
            client.update(&given(volume, claim)).await.map_err(BindError::Volumes)?;
        }
        for provision in decision.provisions.iter().filter(|provision| !provision.announced) {
            let (claim, annotation) = (&provision.claim, BTreeMap::from([(SELECTED_NODE.to_owned(), node.to_owned())]));
            let annotation = machinery::to_value(&annotation);
            let patch = Patch::Merge(value!({"metadata": {"annotations": (annotation), "uid": (claim.uid())}}));
            let patched = self.client.patch::<PersistentVolumeClaim>(claim.namespace(), claim.name(), &patch).await;
            patched.map_err(BindError::Volumes)?;
        }
        let claims =
            decision.bindings.iter().map(|(_, claim)| claim).chain(decision.provisions.iter().map(|p| &p.claim));
        let keys: Vec<String> = claims.map(|claim| claim.key()).collect();
        self.clock.timeout(self.limit, self.bound(&keys)).await.map_err(|_| BindError::Timeout)
    }

    /// Waits until all claims have their volumes.
    async fn bound(&self, keys: &[String]) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if keys.iter().all(|key| self.claims.get(key).is_some_and(|claim| storage::is_bound(&claim))) {
                return;
            }
            changed.await;
        }
    }
}

/// The volume, given to the claim.
fn given(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut volume = volume.clone();
    let spec = volume.spec.get_or_insert_default();
    if spec.claim_ref.is_none() {
        let annotations = volume.metadata.annotations.get_or_insert_default();
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    spec.claim_ref = Some(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: claim.metadata.name.clone(),
        namespace: claim.metadata.namespace.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        field_path: None,
    });
    volume
}
