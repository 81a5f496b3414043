//! The node's lease (KEP-589): the sign of life that costs little.

use client::{ApiError, Client};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};

use super::Registration;

const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: i32 = 40;
/// The second attempt reads what the first one believed to know.
const ATTEMPTS: u32 = 2;

/// Renews the lease, from what the last renewal left.
pub(super) struct Keeper {
    known: Option<Lease>,
}

impl Keeper {
    pub(super) fn new() -> Self {
        Self { known: None }
    }

    /// Renews the lease, which goes when the node of the uid `owner` goes.
    pub(super) async fn renew(&mut self, registration: &Registration, owner: Option<&str>) {
        let (client, name) = (&registration.context.client, &registration.facts.name);
        let owner = owner.map(|uid| reference(name, uid));
        for _attempt in 0..ATTEMPTS {
            match self.try_renew(client, name, owner.as_ref(), registration.context.clock.now()).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "cannot renew the node's lease"),
            }
            // Another hand on the lease: it is read anew.
            self.known = None;
        }
    }

    async fn try_renew(
        &mut self,
        client: &Client,
        name: &str,
        owner: Option<&OwnerReference>,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let known = match self.known.take() {
            Some(lease) => Some(lease),
            None => match client.get::<Lease>(NAMESPACE, name).await {
                Ok(lease) => Some(lease),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            },
        };
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(NAMESPACE.to_owned()),
                owner_references: owner.map(|owner| vec![owner.clone()]),
                resource_version: known.as_ref().and_then(|lease| lease.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(name.to_owned()),
                lease_duration_seconds: Some(DURATION_SECONDS),
                renew_time: Some(MicroTime(now)),
                ..LeaseSpec::default()
            }),
        };
        let written = if known.is_some() { client.update(&lease).await? } else { client.create(&lease).await? };
        self.known = Some(written);
        Ok(())
    }
}

fn reference(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}
