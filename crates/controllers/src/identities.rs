//! As whom each controller acts: a service account of its own in `kube-system`, so that roles, the audit trail and
//! owners of fields tell the controllers apart.

use std::fmt;
use std::sync::Arc;

use client::Client;

/// Gives each controller the client that speaks for its service account.
#[derive(Clone)]
pub struct Identities(Arc<dyn Fn(&str) -> Client + Send + Sync>);

impl Identities {
    /// `client` makes the client that speaks for the service account of this name.
    pub fn new(client: impl Fn(&str) -> Client + Send + Sync + 'static) -> Self {
        Self(Arc::new(client))
    }

    pub(crate) fn of(&self, controller: &str) -> Client {
        (self.0)(service_account(controller))
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities")
    }
}

/// The service account of a controller: most have their controller's name, some that of former times.
#[must_use]
pub fn service_account(controller: &str) -> &str {
    match controller {
        "daemonset-controller" => "daemon-set-controller",
        "endpoints-controller" => "endpoint-controller",
        "endpointslice-mirroring-controller" => "endpointslicemirroring-controller",
        "garbage-collector-controller" => "generic-garbage-collector",
        "horizontal-pod-autoscaler-controller" => "horizontal-pod-autoscaler",
        "legacy-serviceaccount-token-cleaner-controller" => "legacy-service-account-token-cleaner",
        "node-ipam-controller" | "node-lifecycle-controller" | "taint-eviction-controller" => "node-controller",
        "node-route-controller" => "route-controller",
        "persistentvolume-attach-detach-controller" => "attachdetach-controller",
        "persistentvolume-binder-controller" => "persistent-volume-binder",
        "persistentvolume-expander-controller" => "expand-controller",
        "persistentvolume-protection-controller" => "pv-protection-controller",
        "persistentvolumeclaim-protection-controller" => "pvc-protection-controller",
        "pod-garbage-collector-controller" => "pod-garbage-collector",
        "replicationcontroller-controller" => "replication-controller",
        "resourceclaim-controller" => "resource-claim-controller",
        "root-ca-certificate-publisher-controller" => "root-ca-cert-publisher",
        "service-cidr-controller" => "service-cidrs-controller",
        "service-lb-controller" => "service-controller",
        "serviceaccount-controller" => "service-account-controller",
        certificates if certificates.starts_with("certificatesigningrequest-") => "certificate-controller",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_the_names_that_roles_are_bound_to() {
        for (controller, account) in [
            ("deployment-controller", "deployment-controller"),
            ("garbage-collector-controller", "generic-garbage-collector"),
            ("certificatesigningrequest-approving-controller", "certificate-controller"),
        ] {
            assert_eq!(service_account(controller), account);
        }
    }
}
