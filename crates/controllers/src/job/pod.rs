//! The pods a job makes.

use std::collections::BTreeSet;

use client::{Action, Object, reference};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::indexes::{self, INDEX};
use super::{FINALIZER, Work};
use crate::owners::controller_reference;
use crate::replicas::pod_of;

impl Work<'_> {
    pub(super) fn create(&self, count: i32) -> Vec<Action> {
        let pods: Vec<Pod> = if self.is_indexed() {
            self.free_indexes()
                .into_iter()
                .take(usize::try_from(count).unwrap_or_default())
                .map(|i| self.indexed(i))
                .collect()
        } else {
            (0..count).map(|_| self.pod()).collect()
        };
        let creations = pods.iter().map(|pod| {
            let regarding = reference(self.job);
            Action::create(pod).then(move |outcome| match outcome {
                Ok(pod) => {
                    let name = pod.str_at(&["metadata", "name"]).filter(|name| !name.is_empty());
                    let message = name.map(|name| format!("Created pod: {name}"));
                    message
                        .map(|message| Action::event(regarding, "Normal", "SuccessfulCreate", message))
                        .into_iter()
                        .collect()
                }
                Err(error) => {
                    vec![Action::event(regarding, "Warning", "FailedCreate", format!("Error creating: {error}"))]
                }
            })
        });
        vec![Action::Batch(creations.collect())]
    }

    fn pod(&self) -> Pod {
        let mut pod = pod_of(&self.spec.template, self.job.namespace(), &controller_reference(self.job));
        pod.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
        pod
    }

    /// The lowest indexes that neither succeeded nor run.
    fn free_indexes(&self) -> Vec<i32> {
        let mut taken: BTreeSet<i32> = self.active().filter_map(|pod| indexes::of_pod(pod)).collect();
        taken.extend(indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default()));
        (0..self.spec.completions.unwrap_or_default()).filter(|index| !taken.contains(index)).collect()
    }

    fn indexed(&self, index: i32) -> Pod {
        let mut pod = self.pod();
        let (name, text) = (self.job.name(), index.to_string());
        pod.metadata.generate_name = Some(format!("{name}-{index}-"));
        pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), text.clone());
        pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), text);
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(format!("{name}-{index}"));
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            let env = container.env.get_or_insert_default();
            if !env.iter().any(|known| known.name == "JOB_COMPLETION_INDEX") {
                env.push(index_variable());
            }
        }
        pod
    }
}

fn index_variable() -> EnvVar {
    EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: format!("metadata.labels['{INDEX}']"),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
