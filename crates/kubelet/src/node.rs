//! The node's own things, which every pod's worker shares.

use std::sync::Arc;

use base::{CancellationToken, Clock, Random};
use client::{Client, Context, Informer, Recorder};
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service};

use crate::cgroups::Cgroups;
use crate::directories::Directories;
use crate::image::puller::Puller;
use crate::objects::Objects;
use crate::pod::resolver::NodeDns;
use crate::pod::spec::{self, Role};
use crate::quantity::Resources;
use crate::runtime::Runtime;
use crate::tokens::Tokens;

/// What a pod's worker needs of its surroundings.
pub(crate) struct Node {
    pub(crate) context: Context,
    pub(crate) runtime: Runtime,
    pub(crate) recorder: Recorder,
    pub(crate) directories: Directories,
    pub(crate) cgroups: Cgroups,
    pub(crate) dns: NodeDns,
    pub(crate) host_ips: Vec<String>,
    pub(crate) memory_bytes: i64,
    pub(crate) allocatable: Resources,
    pub(crate) services: Informer<Service>,
    pub(crate) pods: Informer<Pod>,
    pub(crate) objects: Objects,
    pub(crate) tokens: Tokens,
    pub(crate) puller: Puller,
}

impl Node {
    pub(crate) fn client(&self) -> &Client {
        &self.context.client
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.context.clock
    }

    pub(crate) fn random(&self) -> &Random {
        &self.context.random
    }

    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.context.cancel
    }

    /// Records an event about a pod.
    pub(crate) fn pod_event(&self, pod: &Pod, event_type: &'static str, reason: &str, message: impl Into<String>) {
        self.recorder.event(client::reference(pod), event_type, reason, message);
    }

    /// Records an event about a container.
    pub(crate) fn event(
        &self,
        pod: &Pod,
        container: &Container,
        event_type: &'static str,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.recorder.event(container_reference(pod, container), event_type, reason, message);
    }

    /// Services that containers may learn of from their environment.
    pub(crate) async fn services_for(&self, pod: &Pod) -> Vec<Arc<Service>> {
        self.services.synced().await;
        let mut services = self.services.in_namespace(spec::namespace(pod));
        if spec::namespace(pod) != "default" {
            services.extend(self.services.find("default", "kubernetes"));
        }
        services
    }
}

fn container_reference(pod: &Pod, container: &Container) -> ObjectReference {
    let role = spec::container(pod, &container.name).map(|(role, _)| role);
    let list = if role == Some(Role::Main) { "containers" } else { "initContainers" };
    let field_path = Some(format!("spec.{list}{{{}}}", container.name));
    ObjectReference { field_path, ..client::reference(pod) }
}
