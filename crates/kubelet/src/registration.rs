//! The node's own objects: the Node, its status, its lease.

mod conditions;
mod facts;
mod lease;
pub(crate) mod node_object;

use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use client::{ApiError, Context, Patch};
use k8s_openapi::api::core::v1::{Node as NodeObject, NodeStatus};
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

/// What was written last.
struct Written {
    status: NodeStatus,
    at: Instant,
}

impl Registration {
    /// Registers the node, then renews its lease and writes its status until cancelled.
    pub(crate) async fn run(self) {
        let cancel = self.context.cancel.clone();
        let _cancelled = cancel.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&self) {
        let clock = &self.context.clock;
        while let Err(error) = self.register().await {
            tracing::warn!(%error, "cannot register the node yet");
            clock.sleep(REGISTER_RETRY).await;
        }
        let mut lease = lease::Keeper::new();
        let mut written = None;
        let mut next_renewal = clock.instant();
        loop {
            if clock.instant() >= next_renewal {
                lease.renew(self).await;
                next_renewal = clock.instant() + UPDATE_PERIOD;
            }
            let ready = self.update(&mut written).await;
            let next = if ready { next_renewal } else { next_renewal.min(clock.instant() + UNREADY_PERIOD) };
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = clock.sleep_until(next) => {}
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

    /// Writes the status if it changed or is old; whether the node is ready.
    async fn update(&self, written: &mut Option<Written>) -> bool {
        let (clock, client) = (&self.context.clock, &self.context.client);
        let health = self.look().await;
        let ready = health.problem(clock.instant()).is_none();
        let old = match written {
            Some(written) => written.status.clone(),
            None => match client.get::<NodeObject>("", &self.facts.name).await {
                Ok(node) => node.status.unwrap_or_default(),
                Err(error) if error.is_not_found() => {
                    // Somebody deleted the node while it lives: it comes back.
                    let registered = self.register().await;
                    return registered.is_ok() && ready;
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot read the node");
                    return ready;
                }
            },
        };
        let new = node_object::status(&self.options, &self.facts, &health, &old, clock.now(), clock.instant());
        let due = written.as_ref().is_none_or(|written| clock.instant().duration_since(written.at) >= REPORT_PERIOD);
        if !due && node_object::is_same(&old, &new) {
            return ready;
        }
        let patch: Value = machinery::to_value(&serde_json::json!({"status": node_object::patch(&old, &new)}));
        match client.patch_status::<NodeObject>("", &self.facts.name, &Patch::Strategic(patch)).await {
            Ok(node) => *written = Some(Written { status: node.status.unwrap_or_default(), at: clock.instant() }),
            Err(error) => {
                tracing::debug!(%error, "cannot write the node's status");
                *written = None;
            }
        }
        ready
    }

    /// Asks the runtime how it is.
    async fn look(&self) -> RuntimeHealth {
        let status = self.runtime.status().await;
        let images = match &status {
            Ok(_) => self.runtime.list_images().await.ok(),
            Err(_) => None,
        };
        let mut health = self.health.lock();
        health.hear(status, images, self.context.clock.instant());
        health.clone()
    }
}
