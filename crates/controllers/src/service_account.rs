//! ServiceAccount: every namespace has the account `default`.

use client::driver::{Controller, Watches};
use client::{Action, Object, View};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "serviceaccount-controller", workers: 1, watches, plan };

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Namespace>();
    watch.on::<ServiceAccount>(|change, _| vec![change.object().namespace().to_owned()]);
}

fn plan(namespace: &str, view: &View) -> Vec<Action> {
    let active = view.get::<Namespace>(namespace).is_some_and(|namespace| !namespace.is_deleted());
    if !active || view.find::<ServiceAccount>(namespace, "default").is_some() {
        return Vec::new();
    }
    let metadata =
        ObjectMeta { name: Some("default".to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
    vec![Action::create(&ServiceAccount { metadata, ..ServiceAccount::default() })]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn only_active_namespaces_without_one_get_it() {
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}";
        let create = "create ServiceAccount a/ {\"metadata\":{\"name\":\"default\",\"namespace\":\"a\"}}\n";
        let deleted = namespace.replace("name: a", "name: a, deletionTimestamp: '2026-01-01T00:00:00Z'");
        let account = "---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: a}}\n";
        for (yaml, expected) in [
            (namespace.to_owned(), create),
            (deleted, ""),
            (format!("{namespace}\n{account}"), ""),
            (String::new(), ""),
        ] {
            assert_eq!(table::plan(&CONTROLLER, "a", &yaml), expected);
        }
    }
}
