//! Root CA publisher: every namespace has the ConfigMap `kube-root-ca.crt`, by which pods know the API server.

use std::collections::BTreeMap;

use client::driver::{Controller, Watches};
use client::{Action, Object, View};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::Options;

/// The controller.
pub const CONTROLLER: Controller =
    Controller { name: "root-ca-certificate-publisher-controller", workers: 1, watches, plan };

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIBED: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Namespace>();
    watch.on::<ConfigMap>(|change, _| {
        let map = change.object();
        if map.name() == NAME { vec![map.namespace().to_owned()] } else { Vec::new() }
    });
}

fn plan(namespace: &str, view: &View) -> Vec<Action> {
    let options = view.settings::<Options>();
    let active = view.get::<Namespace>(namespace).is_some_and(|namespace| !namespace.is_deleted());
    if !active || options.root_ca.is_empty() {
        return Vec::new();
    }
    let data = Some(BTreeMap::from([("ca.crt".to_owned(), options.root_ca.clone())]));
    let annotations = BTreeMap::from([(DESCRIPTION.to_owned(), DESCRIBED.to_owned())]);
    let Some(known) = view.find::<ConfigMap>(namespace, NAME) else {
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        return vec![Action::create(&ConfigMap { metadata, data, ..ConfigMap::default() })];
    };
    if known.data == data && known.annotation(DESCRIPTION) == Some(DESCRIBED) {
        return Vec::new();
    }
    let mut map = (*known).clone();
    map.data = data;
    map.metadata.annotations.get_or_insert_default().extend(annotations);
    vec![Action::update(&map)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn the_map_is_made_and_repaired() {
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n";
        let map =
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-root-ca.crt, namespace: a}, data: {ca.crt: X}}";
        let verb = |yaml: &str| table::plan(&CONTROLLER, "a", yaml).chars().take(16).collect::<String>();
        assert_eq!(verb(namespace), "create ConfigMap");
        assert_eq!(verb(&format!("{namespace}{map}")), "update ConfigMap");
    }
}
