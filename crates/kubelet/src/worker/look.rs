//! Asks the runtime what it has of the pod; only what may have changed since the last look is asked in full.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Pod;

use super::{BEHIND_LIMIT, Worker};
use crate::pod::labels;
use crate::pod::observed::{Instance, Observed, Phase, Sandbox};
use crate::pod::spec;
use crate::proto::cri;
use crate::runtime::{Result, Runtime};

impl Worker {
    pub(super) async fn look(&mut self, pod: &Pod) -> Result<()> {
        let changed = self.inbox.runtime_changed.swap(false, Ordering::AcqRel);
        if !changed && self.inbox.ended.lock().is_empty() {
            return Ok(());
        }
        match observe(&self.node.runtime, spec::uid(pod), &self.observed).await {
            Ok(observed) => {
                self.forget_ended(&observed);
                self.hear_last_words(pod, &observed);
                self.observed = Arc::new(observed);
                Ok(())
            }
            Err(error) => {
                self.inbox.runtime_changed.store(true, Ordering::Release);
                Err(error)
            }
        }
    }

    /// Lets go of those ends that the runtime has come to know.
    fn forget_ended(&self, observed: &Observed) {
        let now = self.node.clock().instant();
        let runs = |id: &String| {
            observed.alive().any(|run| run.id == *id)
                || observed.sandboxes.iter().any(|sandbox| sandbox.ready && sandbox.id == *id)
        };
        self.inbox.ended.lock().retain(|id, since| runs(id) && now.duration_since(*since) < BEHIND_LIMIT);
    }
}

async fn observe(runtime: &Runtime, uid: &str, before: &Observed) -> Result<Observed> {
    let selector = [(labels::POD_UID, uid)];
    let (sandboxes, containers) =
        futures::try_join!(runtime.list_pod_sandboxes(&selector), runtime.list_containers(&selector))?;
    let known: HashMap<&str, &Instance> = before.instances.iter().map(|run| (run.id.as_str(), run)).collect();
    let sandboxes = futures::future::try_join_all(sandboxes.into_iter().map(|found| sandbox(runtime, found, before)));
    let instances = containers.into_iter().map(|found| {
        let known = known.get(found.id.as_str()).copied();
        instance(runtime, found, known)
    });
    let (sandboxes, instances) = futures::try_join!(sandboxes, futures::future::try_join_all(instances))?;
    let mut observed = Observed {
        sandboxes: sandboxes.into_iter().flatten().collect(),
        instances: instances.into_iter().flatten().collect(),
    };
    observed.sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created, sandbox.attempt)));
    observed.instances.sort_by_key(|run| std::cmp::Reverse((run.created, run.restart_count)));
    Ok(observed)
}

/// A working sandbox with an address does not change but by stopping to work.
async fn sandbox(runtime: &Runtime, found: cri::PodSandbox, before: &Observed) -> Result<Option<Sandbox>> {
    let ready = found.state == cri::PodSandboxState::SandboxReady as i32;
    let known = before.sandboxes.iter().find(|known| known.id == found.id);
    if let Some(known) = known.filter(|known| known.ready == ready && (!known.ips.is_empty() || known.host_network)) {
        return Ok(Some(known.clone()));
    }
    Ok(runtime.pod_sandbox_status(&found.id).await?.map(Sandbox::from_status))
}

/// A run in the same state as before has not changed.
async fn instance(runtime: &Runtime, found: cri::Container, known: Option<&Instance>) -> Result<Option<Instance>> {
    let phase = Phase::from_cri(found.state);
    if let Some(known) = known.filter(|known| known.phase == phase && phase != Phase::Unknown) {
        return Ok(Some(known.clone()));
    }
    let status = runtime.container_status(&found.id).await?;
    Ok(status.map(|status| Instance::from_status(status, found.pod_sandbox_id)))
}
