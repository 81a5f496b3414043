//! What changes seldom, taken over into the snapshot.

use client::{Change as Observed, Object};

use super::{Scheduler, Update};
use crate::change::Change;
use crate::preemption::Budget;

impl Scheduler {
    pub(super) fn update(&mut self, update: Update) {
        let storage = &mut self.snapshot.storage;
        let change = match update {
            Update::Namespace(change) => {
                let labels = change.new.as_ref().map(|new| new.metadata.labels.clone().unwrap_or_default());
                let same = |old: &std::sync::Arc<k8s_openapi::api::core::v1::Namespace>| {
                    change.new.as_ref().is_some_and(|new| new.metadata.labels == old.metadata.labels)
                };
                if change.old.as_ref().is_some_and(same) {
                    return;
                }
                self.snapshot.set_namespace(change.object().name(), labels);
                Change::Selection
            }
            Update::Budget(change) => {
                match &change.new {
                    Some(new) => drop(self.budgets.insert(change.key.to_string(), Budget::new(new))),
                    None => drop(self.budgets.remove(&*change.key)),
                }
                return;
            }
            Update::Service(change) => {
                let selector = change.new.as_ref().and_then(|new| new.spec.as_ref()?.selector.clone());
                let selector = selector.filter(|selector| !selector.is_empty());
                let object = change.object();
                self.snapshot.owners.set_service(object.namespace(), object.name(), selector);
                Change::Selection
            }
            Update::ReplicationController(change) => {
                let selector = change.new.as_ref().and_then(|new| new.spec.as_ref()?.selector.clone());
                let selector = selector.map(|labels| k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
                    match_labels: Some(labels),
                    match_expressions: None,
                });
                self.snapshot.owners.set_workload("ReplicationController", &change.key, selector);
                return;
            }
            Update::ReplicaSet(change) => {
                let selector = change.new.as_ref().and_then(|new| Some(new.spec.as_ref()?.selector.clone()));
                self.snapshot.owners.set_workload("ReplicaSet", &change.key, selector);
                return;
            }
            Update::StatefulSet(change) => {
                let selector = change.new.as_ref().and_then(|new| Some(new.spec.as_ref()?.selector.clone()));
                self.snapshot.owners.set_workload("StatefulSet", &change.key, selector);
                return;
            }
            Update::Claim(change) => {
                keep(&mut storage.claims, &change);
                self.claims_changed.notify_waiters();
                Change::Claim(change.key.to_string())
            }
            Update::Volume(change) => {
                match &change.new {
                    Some(new) => drop(storage.volumes.insert(change.key.to_string(), new.clone())),
                    None => drop(storage.volumes.remove(&*change.key)),
                }
                Change::Volume
            }
            Update::Class(change) => {
                keep(&mut storage.classes, &change);
                Change::StorageOffer
            }
            Update::CsiNode(change) => {
                keep(&mut storage.csi_nodes, &change);
                Change::CsiNode
            }
            Update::Driver(change) => {
                keep(&mut storage.drivers, &change);
                Change::StorageOffer
            }
            Update::Capacity(change) => {
                keep(&mut storage.capacities, &change);
                Change::StorageOffer
            }
        };
        self.changed(&change);
    }
}

fn keep<K: Object>(all: &mut std::collections::HashMap<String, std::sync::Arc<K>>, change: &Observed<K>) {
    match &change.new {
        Some(new) => drop(all.insert(change.key.to_string(), new.clone())),
        None => drop(all.remove(&*change.key)),
    }
}
