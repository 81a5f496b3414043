//! What is counted of the plugin's decisions, under upstream's names.

use base::metrics::{Counters, Registry, alpha};

use super::policy::Standard;
use super::{Operation, Request};

/// Resources that are told apart; all others that make pods are controllers.
const PODS: &str = "pods";

/// The families.
#[derive(Debug, Clone)]
pub struct Counts {
    pub(crate) registry: Registry,
    evaluations: Counters,
    exemptions: Counters,
}

impl Default for Counts {
    fn default() -> Self {
        let registry = Registry::new();
        Self {
            // Prometheus takes an empty label for none: upstream's own plugin has no `ocp_namespace`.
            evaluations: registry.counters(
                alpha("pod_security_evaluations_total", "Decisions on pods and on what makes pods."),
                &[
                    "decision",
                    "policy_level",
                    "policy_version",
                    "mode",
                    "request_operation",
                    "resource",
                    "subresource",
                    "ocp_namespace",
                ],
            ),
            exemptions: registry.counters(
                alpha("pod_security_exemptions_total", "Requests that no policy was asked about."),
                &["request_operation", "resource", "subresource"],
            ),
            registry,
        }
    }
}

impl Counts {
    /// A pod was compared with a standard.
    pub(super) fn evaluated(&self, request: &Request<'_>, mode: &str, standard: Standard, allowed: bool) {
        let decision = if allowed { "allow" } else { "deny" };
        let shown = standard.to_string();
        let (level, version) = shown.split_once(':').unwrap_or((&shown, "latest"));
        let [operation, resource, part] = what(request);
        self.evaluations.with(&[decision, level, version, mode, operation, resource, part, ""]).inc();
    }

    /// The configuration leaves the request alone.
    pub(super) fn spared(&self, request: &Request<'_>) {
        self.exemptions.with(&what(request)).inc();
    }
}

fn what<'a>(request: &Request<'a>) -> [&'a str; 3] {
    let operation = if request.operation == Operation::Create { "create" } else { "update" };
    let resource = if request.resource == PODS { "pod" } else { "controller" };
    [operation, resource, request.subresource]
}
