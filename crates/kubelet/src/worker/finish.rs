//! The end of a pod on this node: its volumes and cgroup go; once it is deleted, so do its containers, and the API may
//! forget it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};

use super::{Latest, Worker, report};
use crate::pod::spec;
use crate::volume;

impl Worker {
    /// Cleans up after a pod whose containers all ended; `true` when nothing of it is left.
    pub(super) async fn finish(&mut self, latest: &Latest) -> bool {
        let (node, pod) = (self.node.clone(), &latest.pod);
        self.probes.stop();
        if !self.finished {
            let directories = node.directories.clone();
            let uid = spec::uid(pod).to_owned();
            let torn = tokio::task::spawn_blocking(move || volume::tear_down(&directories, &uid)).await;
            if let Ok(Err(error)) = torn {
                tracing::warn!(%error, pod = spec::full_name(pod), "cannot remove the pod's directory");
            }
            node.cgroups.remove(spec::uid(pod));
            *self.volumes.lock() = None;
            *self.refresh.lock() = None;
            self.finished = true;
        }
        let deleted = latest.gone || pod.metadata.deletion_timestamp.is_some();
        if !deleted || !latest.gone && !self.forgotten(latest).await {
            return false;
        }
        for sandbox in &self.observed.sandboxes {
            if !report("remove a sandbox", node.runtime.remove_pod_sandbox(&sandbox.id).await) {
                self.status_failed = true;
                return false;
            }
        }
        for run in &self.observed.instances {
            crate::logs::remove(&node.directories, pod, run);
        }
        let _absent = std::fs::remove_dir_all(node.directories.logs_of(pod));
        node.objects.release(pod);
        node.tokens.forget(pod);
        true
    }

    /// Lets the API forget the pod; `false` when that is to be tried again.
    async fn forgotten(&mut self, latest: &Latest) -> bool {
        if self.status_failed {
            return false;
        }
        let pod = &latest.pod;
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteOptions::default()
        };
        let (namespace, name) = (spec::namespace(pod), spec::name(pod));
        match self.node.client().delete::<k8s_openapi::api::core::v1::Pod>(namespace, name, &options).await {
            Ok(()) => true,
            Err(error) if error.is_not_found() || error.is_conflict() => true,
            Err(error) => {
                tracing::warn!(%error, pod = spec::full_name(pod), "cannot delete a pod that has ended");
                self.status_failed = true;
                false
            }
        }
    }
}
