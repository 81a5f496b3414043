//! The node's own objects: the Node, its status, its lease.

mod conditions;
mod facts;
mod lease;
pub(crate) mod node_object;

use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use client::{ApiError, Context, Informer, InformerOptions, Patch};
use k8s_openapi::api::core::v1::Node as NodeObject;
use machinery::Value;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::conditions::RuntimeHealth;
pub(crate) use self::facts::{Facts, addresses, hostname};
use crate::options::KubeletOptions;
use crate::runtime::Runtime;

/// How often the lease is renewed and the status looked at (upstream's `nodeStatusUpdateFrequency`).
const UPDATE_PERIOD: Duration = Duration::from_secs(10);
/// How often the status is written although nothing changed (upstream's `nodeStatusReportFrequency`).
const REPORT_PERIOD: Duration = Duration::from_secs(300);
/// While the node is not ready, it is looked at this often, so that it becomes so soon.
const UNREADY_PERIOD: Duration = Duration::from_millis(200);
/// A runtime that does not answer for so long is not waited for: the node must say that it hangs.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// Between attempts to register.
const REGISTER_RETRY: Duration = Duration::from_millis(500);

/// Keeps the node's objects.
pub(crate) struct Registration {
    pub(crate) context: Context,
    pub(crate) options: Arc<KubeletOptions>,
    pub(crate) runtime: Runtime,
    pub(crate) facts: Facts,
    /// Rung when the runtime went away or came back.
    pub(crate) wake: Arc<Notify>,
    pub(crate) health: Arc<Mutex<RuntimeHealth>>,
}

/// The node as we last wrote it.
struct Written {
    node: NodeObject,
    at: Instant,
}

impl Registration {
    /// Registers the node, then renews its lease and writes its status until cancelled.
    pub(crate) async fn run(self) {
        let cancel = self.context.cancel.clone();
        let _cancelled = cancel.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&self) {
        while let Err(error) = self.register().await {
            tracing::warn!(%error, "cannot register the node yet");
            self.context.clock.sleep(REGISTER_RETRY).await;
        }
        // The lease says that the kubelet lives, whatever the runtime does.
        let own = InformerOptions {
            field_selector: format!("metadata.name={}", self.facts.name),
            ..InformerOptions::default()
        };
        let node = Informer::new();
        let watch = node.clone().run(self.context.clone(), own);
        tokio::join!(watch, self.keep_lease(&node), self.keep_status(&node));
    }

    async fn keep_lease(&self, node: &Informer<NodeObject>) {
        let mut lease = lease::Keeper::new();
        node.synced().await;
        loop {
            let known = node.get(&self.facts.name);
            lease.renew(self, known.as_ref().and_then(|node| node.metadata.uid.as_deref())).await;
            self.context.clock.sleep(UPDATE_PERIOD).await;
        }
    }

    /// Writes the status whenever the runtime, or somebody else's hand on the node, makes it untrue.
    async fn keep_status(&self, node: &Informer<NodeObject>) {
        let clock = &self.context.clock;
        let touched = Arc::new(Notify::new());
        let ring = touched.clone();
        node.observe(move |_| ring.notify_one());
        node.synced().await;
        let (mut written, mut next_look) = (None, clock.instant());
        loop {
            if clock.instant() >= next_look {
                let health = self.look().await;
                let ready = health.problem(clock.instant()).is_none();
                next_look = clock.instant() + if ready { UPDATE_PERIOD } else { UNREADY_PERIOD };
            }
            self.update(node, &mut written).await;
            tokio::select! {
                biased;
                () = self.wake.notified() => next_look = clock.instant(),
                () = touched.notified() => {}
                () = clock.sleep_until(next_look) => {}
            }
        }
    }

    async fn register(&self) -> Result<(), ApiError> {
        let health = self.look().await;
        let node = node_object::node(&self.options, &self.facts, &health, self.context.clock.now());
        match self.context.client.create(&node).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_exists() => self.adopt(node).await,
            Err(error) => Err(error),
        }
    }

    /// The node of an earlier run: its labels are brought up to date.
    async fn adopt(&self, node: NodeObject) -> Result<(), ApiError> {
        let labels = node.metadata.labels.unwrap_or_default();
        let patch = machinery::to_value(&serde_json::json!({"metadata": {"labels": labels}}));
        self.context.client.patch::<NodeObject>("", &self.facts.name, &Patch::Strategic(patch)).await.map(drop)
    }

    /// Writes the status if the API shows another or ours is old; registers again if somebody deleted the node.
    async fn update(&self, node: &Informer<NodeObject>, written: &mut Option<Written>) {
        let (clock, client) = (&self.context.clock, &self.context.client);
        let health = self.health.lock().clone();
        let Some(known) = newer(node.get(&self.facts.name), written.as_ref()) else {
            match self.register().await {
                Ok(()) => tracing::info!("the node was gone and is registered again"),
                Err(error) => tracing::debug!(%error, "cannot register the node"),
            }
            return;
        };
        let old = known.status.clone().unwrap_or_default();
        let new = node_object::status(&self.options, &self.facts, &health, &old, clock.now(), clock.instant());
        let due = written.as_ref().is_none_or(|written| clock.instant().duration_since(written.at) >= REPORT_PERIOD);
        if !due && node_object::is_same(&old, &new) {
            return;
        }
        let patch: Value = machinery::to_value(&serde_json::json!({"status": node_object::patch(&old, &new)}));
        match client.patch_status::<NodeObject>("", &self.facts.name, &Patch::Strategic(patch)).await {
            Ok(node) => *written = Some(Written { node, at: clock.instant() }),
            Err(error) => {
                tracing::debug!(%error, "cannot write the node's status");
                *written = None;
            }
        }
    }

    /// Asks the runtime how it is.
    async fn look(&self) -> RuntimeHealth {
        let asked = async {
            let status = self.runtime.status().await.ok()?;
            Some((status, self.runtime.list_images().await.ok()))
        };
        let heard = self.context.clock.timeout(LOOK_LIMIT, asked).await.ok().flatten();
        let mut health = self.health.lock();
        if let Some((status, images)) = heard {
            health.hear(status, images, self.context.clock.instant());
        }
        health.clone()
    }
}

/// The node as the API has it: as the watch shows it, or as we wrote it if the watch is behind. The watch alone says
/// that it is gone.
fn newer(shown: Option<Arc<NodeObject>>, written: Option<&Written>) -> Option<Arc<NodeObject>> {
    let version = |node: &NodeObject| -> Option<u64> { node.metadata.resource_version.as_ref()?.parse().ok() };
    let shown = shown?;
    match written {
        Some(written) if version(&written.node) > version(&shown) => Some(Arc::new(written.node.clone())),
        _ => Some(shown),
    }
}
