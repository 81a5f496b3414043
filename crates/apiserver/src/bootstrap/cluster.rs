//! The objects of a fresh cluster that no text needs: namespaces, priority classes, the API server's own service.

use machinery::{Object, Value, value};

use super::Settings;

/// The namespaces that are always there.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The namespaces that are always there, as objects.
pub fn namespaces() -> Vec<Value> {
    let namespace = |name: &str| value!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
    NAMESPACES.map(namespace).into()
}

/// The two classes of pods that the cluster cannot live without.
pub fn priority_classes() -> Vec<Value> {
    let class = |name: &str, value: i64, description: &str| {
        value!({
            "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
            "metadata": {"name": name},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority"
        })
    };
    vec![
        class("system-cluster-critical", 2_000_000_000, "For pods that the cluster needs; they may run on any node."),
        class("system-node-critical", 2_000_001_000, "For pods that their node needs; they run nowhere else."),
    ]
}

/// Flow schemas and priority levels as upstream makes them (KEP-1040).
pub fn flow_control() -> Vec<Value> {
    let levels = named_specs("PriorityLevelConfiguration", include_str!("priority_levels.yaml"));
    let schemas = named_specs("FlowSchema", include_str!("flow_schemas.yaml"));
    levels.into_iter().chain(schemas).collect()
}

fn named_specs(kind: &str, text: &str) -> Vec<Value> {
    let specs = machinery::yaml::parse(text).expect("the text is part of the program and a test reads it");
    let specs = specs.as_object().into_iter().flat_map(Object::iter);
    let object = |(name, spec): (&machinery::Text, &Value)| {
        value!({
            "kind": kind,
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "metadata": {"name": (name.clone()), "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}},
            "spec": (spec.clone())
        })
    };
    specs.map(object).collect()
}

/// The service `kubernetes`, whose address is the first of the service range.
pub fn service(settings: &Settings) -> Value {
    value!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"provider": "kubernetes", "component": "apiserver"}
        },
        "spec": {
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": (i64::from(settings.secure_port))}],
            "clusterIP": (settings.service_address().map(|address| address.to_string()).unwrap_or_default()),
            "ipFamilyPolicy": "SingleStack",
            "type": "ClusterIP",
            "sessionAffinity": "None"
        }
    })
}

/// The ranges of services (KEP-1880).
pub fn service_range(settings: &Settings) -> Vec<Value> {
    let cidrs: Vec<String> = settings.service_ranges.iter().map(ToString::to_string).collect();
    vec![value!({
        "kind": "ServiceCIDR",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": cidrs}
    })]
}

/// How extension API servers find out which client certificates to trust.
pub fn authentication_config(settings: &Settings) -> Value {
    value!({
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": (settings.client_ca_pem.as_str())}
    })
}

#[cfg(test)]
mod tests {
    use machinery::json;

    use super::*;

    #[test]
    fn the_texts_read() {
        assert_eq!(flow_control().len(), 19);
        expect_test::expect![[r#"{"kind":"PriorityLevelConfiguration","apiVersion":"flowcontrol.apiserver.k8s.io/v1","metadata":{"name":"catch-all","annotations":{"apf.kubernetes.io/autoupdate-spec":"true"}},"spec":{"limited":{"lendablePercent":0,"limitResponse":{"type":"Reject"},"nominalConcurrencyShares":5},"type":"Limited"}}"#]]
            .assert_eq(&json::to_string(&flow_control()[0]));
    }
}
