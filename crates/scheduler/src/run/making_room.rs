//! Preemption's deeds: victims get their condition and are deleted, through the API, beside the decisions about others.

use std::sync::Arc;

use client::{Client, Object, Recorder};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use tokio::sync::mpsc;

use super::{Message, Scheduler, occurrence, status};
use crate::change::Change;
use crate::pod::PodInfo;
use crate::preemption::Candidate;

/// Room was made, or not.
pub struct Cleared {
    key: Arc<str>,
    result: Result<(), client::ApiError>,
}

impl Scheduler {
    /// Takes the victims away; less important pods that waited for the node wait for it no longer.
    pub(super) fn make_room(
        &mut self,
        profile: usize,
        pod: &Arc<PodInfo>,
        candidate: Candidate,
        sender: &mpsc::Sender<Message>,
    ) {
        self.metrics.took_away(candidate.victims.len());
        let lesser = |other: &&Arc<PodInfo>| other.priority() < pod.priority();
        let waiting: Vec<_> = self.snapshot.nominated(&candidate.node).filter(lesser).cloned().collect();
        for other in waiting {
            self.snapshot.forget_nomination(&other.key);
            self.patch_status(&other, status::not_nominated(&other.pod));
        }
        self.clearing.insert(pod.key.clone());
        let work = Work {
            client: self.context.client.clone(),
            clock: self.context.clock.clone(),
            recorder: self.recorders[profile].clone(),
            scheduler_name: self.settings.profiles[profile].scheduler_name.clone(),
            pod: pod.clone(),
            node: candidate.node,
        };
        let sender = sender.clone();
        self.writes.spawn("make room", async move {
            let mut result = Ok(());
            for victim in &candidate.victims {
                result = work.take_away(victim).await;
                if result.is_err() {
                    break;
                }
            }
            // The receiver is gone only when the scheduler stops.
            drop(sender.send(Message::Cleared(Cleared { key: work.pod.key.clone(), result })).await);
        });
    }

    pub(super) fn room_made(&mut self, cleared: Cleared) {
        self.clearing.remove(&cleared.key);
        if let Err(error) = cleared.result {
            tracing::warn!(pod = &*cleared.key, %error, "room could not be made; the pod is tried again");
            self.snapshot.forget_nomination(&cleared.key);
            self.changed(&Change::PodUpdated);
        }
    }
}

struct Work {
    client: Client,
    clock: base::Clock,
    recorder: Recorder,
    scheduler_name: String,
    /// Who needs the room.
    pod: Arc<PodInfo>,
    node: String,
}

impl Work {
    async fn take_away(&self, victim: &PodInfo) -> Result<(), client::ApiError> {
        let pod = &victim.pod;
        let gone = |result: Result<(), client::ApiError>| match result {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(false),
            other => other.map(|()| true),
        };
        if let Some(patch) = status::disrupted(pod, &self.scheduler_name, self.clock.now()) {
            let patched = self.client.patch_status::<Pod>(pod.namespace(), pod.name(), &patch).await;
            if !gone(patched.map(drop))? {
                return Ok(());
            }
        }
        let preconditions = Preconditions { uid: Some(victim.uid().to_owned()), resource_version: None };
        let options = DeleteOptions { preconditions: Some(preconditions), ..DeleteOptions::default() };
        if !gone(self.client.delete::<Pod>(pod.namespace(), pod.name(), &options).await)? {
            return Ok(());
        }
        let message = format!("Preempted by pod {} on node {}", self.pod.uid(), self.node);
        let mut event = occurrence(pod, "Normal", "Preempted", "Preempting", message);
        event.related = Some(client::reference(&*self.pod.pod));
        self.recorder.record(event);
        Ok(())
    }
}
