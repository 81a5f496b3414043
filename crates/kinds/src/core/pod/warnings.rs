//! What deserves a warning in a pod.

use machinery::{Object, Value, field::quote, meta, names};

use crate::pod_spec::{amounts, default::CONTAINER_LISTS};
use crate::validate::metadata::sorted;

/// Labels of nodes that have new names: old, since, new.
const RENAMED_LABELS: [(&str, &str, &str); 5] = [
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
];

/// The warnings about a pod.
pub(super) fn warnings(pod: &Value, _: Option<&Value>) -> Vec<String> {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let mut all = Vec::new();
    for (key, _) in sorted(spec.get("nodeSelector").and_then(Value::as_object)) {
        if let Some((_, since, new)) = RENAMED_LABELS.iter().find(|(old, ..)| *old == key) {
            all.push(format!("spec.nodeSelector[{key}]: deprecated since {since}; use {} instead", quote(new)));
        }
    }
    all.extend(duplicates(spec, "hostAliases", "ip"));
    all.extend(duplicates(spec, "imagePullSecrets", "name"));
    for list in CONTAINER_LISTS {
        for (i, one) in spec.items_at(&[list]).iter().enumerate() {
            all.extend(container(one, &format!("spec.{list}[{i}]")));
        }
    }
    all.extend(annotations(meta::annotations(pod)));
    if spec.str_at(&["hostname"]).is_none_or(str::is_empty) {
        let problems = names::is_dns1123_label(meta::name(pod));
        if !problems.is_empty() {
            all.push(format!("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]", problems.join(" ")));
        }
    }
    all
}

fn duplicates(spec: &Value, list: &str, field: &str) -> Vec<String> {
    let items = spec.items_at(&[list]);
    let value = |item: &Value| item.str_at(&[field]).map(ToOwned::to_owned);
    let repeated =
        items.iter().enumerate().filter(|(i, item)| items[..*i].iter().any(|other| value(other) == value(item)));
    repeated
        .map(|(i, item)| {
            format!("spec.{list}[{i}].{field}: duplicate {field} {}", quote(&value(item).unwrap_or_default()))
        })
        .collect()
}

fn container(container: &Value, path: &str) -> Vec<String> {
    let mut all = Vec::new();
    for list in ["limits", "requests"] {
        for (name, amount) in amounts(container, list) {
            if matches!(name.as_str(), "memory" | "ephemeral-storage") && !amount.is_whole() {
                all.push(format!(
                    "{path}.resources.{list}[{name}]: fractional byte value {} is invalid, must be an integer",
                    quote(&amount.to_string())
                ));
            }
        }
    }
    let env = container.items_at(&["env"]);
    for (i, variable) in env.iter().enumerate() {
        let name = variable.str_at(&["name"]);
        if env[..i].iter().any(|other| other.str_at(&["name"]) == name) {
            all.push(format!(
                "{path}.env[{i}]: hides previous definition of {}, which may be dropped when using apply",
                quote(name.unwrap_or_default())
            ));
        }
    }
    let ports = container.items_at(&["ports"]);
    let key = |port: &Value| {
        (
            port.int_at(&["containerPort"]),
            port.str_at(&["protocol"]).map(ToOwned::to_owned),
            port.int_at(&["hostPort"]),
            port.str_at(&["hostIP"]).map(ToOwned::to_owned),
        )
    };
    for (i, port) in ports.iter().enumerate() {
        if let Some(first) = ports[..i].iter().position(|other| key(other) == key(port)) {
            all.push(format!("{path}.ports[{i}]: duplicate port definition with {path}.ports[{first}]"));
        }
    }
    all
}

fn annotations(annotations: Option<&Object>) -> Vec<String> {
    let mut all = Vec::new();
    for (key, _) in sorted(annotations) {
        let advice = if key.starts_with("container.apparmor.security.beta.kubernetes.io/") {
            "deprecated since v1.30; use the \"appArmorProfile\" field instead"
        } else if key == "scheduler.alpha.kubernetes.io/critical-pod" {
            "non-functional in v1.16+; use the \"priorityClassName\" field instead"
        } else if key == "seccomp.security.alpha.kubernetes.io/pod"
            || key.starts_with("container.seccomp.security.alpha.kubernetes.io/")
        {
            "non-functional in v1.27+; use the \"seccompProfile\" field instead"
        } else {
            continue;
        };
        all.push(format!("metadata.annotations[{key}]: {advice}"));
    }
    all
}
