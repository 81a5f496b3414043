//! ClusterRole aggregation: a role that aggregates has the rules of all roles that its selectors select.

use client::driver::{Controller, Watches};
use client::{Action, Object, View};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};

use crate::owners;

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "clusterrole-aggregation-controller", workers: 5, watches, plan };

fn watches(watch: &mut Watches<'_>) {
    watch.on::<ClusterRole>(|_, view| {
        let roles = view.list::<ClusterRole>();
        roles.iter().filter(|role| role.aggregation_rule.is_some()).map(|role| role.key()).collect()
    });
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(role) = view.get::<ClusterRole>(key) else { return Vec::new() };
    let Some(rule) = &role.aggregation_rule else { return Vec::new() };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in rule.cluster_role_selectors.iter().flatten().map(owners::selector) {
        for selected in view.list::<ClusterRole>() {
            if selected.name() == role.name() || !selector.matches(&selected.metadata.labels) {
                continue;
            }
            for rule in selected.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    if role.rules.as_deref().unwrap_or_default() == rules {
        return Vec::new();
    }
    vec![Action::update(&ClusterRole { rules: Some(rules), ..(*role).clone() })]
}
