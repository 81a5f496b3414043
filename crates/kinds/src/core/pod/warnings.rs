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

/// Volumes that are no more, or soon, with what the API says of them.
const OLD_VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// The warnings about a new pod; changes of pods come from controllers and kubelets, who read no warnings.
pub(super) fn warnings(pod: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() { Vec::new() } else { of_template(pod, "") }
}

/// The warnings about the pod or template whose fields have `prefix` before them: empty, or `spec.template.`.
pub(crate) fn of_template(template: &Value, prefix: &str) -> Vec<String> {
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let path = format!("{prefix}spec");
    let mut all = Vec::new();
    for (key, _) in sorted(spec.get("nodeSelector").and_then(Value::as_object)) {
        all.extend(renamed(key).map(|advice| format!("{path}.nodeSelector[{key}]: {advice}")));
    }
    all.extend(affinity(spec, &path));
    for (i, constraint) in spec.items_at(&["topologySpreadConstraints"]).iter().enumerate() {
        let key = constraint.str_at(&["topologyKey"]).unwrap_or_default();
        let field = format!("{path}.topologySpreadConstraints[{i}].topologyKey");
        all.extend(renamed(key).map(|advice| format!("{field}: {key} is {advice}")));
    }
    all.extend(duplicates(spec, &path, "hostAliases", "ip"));
    all.extend(duplicates(spec, &path, "imagePullSecrets", "name"));
    all.extend(volumes(spec, &path));
    for list in CONTAINER_LISTS {
        for (i, one) in spec.items_at(&[list]).iter().enumerate() {
            all.extend(container(one, &format!("{path}.{list}[{i}]")));
        }
    }
    let annotated = annotations(meta::annotations(template));
    all.extend(annotated.into_iter().map(|advice| format!("{prefix}{advice}")));
    let name = meta::name(template);
    if !name.is_empty() && spec.str_at(&["hostname"]).is_none_or(str::is_empty) {
        let problems = names::is_dns1123_label(name);
        if !problems.is_empty() {
            all.push(format!("{prefix}metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]", problems.join(" ")));
        }
    }
    if spec.int_at(&["terminationGracePeriodSeconds"]).is_some_and(|seconds| seconds < 0) {
        all.push(format!(
            "{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    all
}

/// The same of a workload whose name becomes part of its pods' names.
pub(crate) fn of_named_workload(workload: &Value, old: Option<&Value>, at: &[&str]) -> Vec<String> {
    let problems = if old.is_none() { names::is_dns1123_label(meta::name(workload)) } else { Vec::new() };
    let mut all = Vec::new();
    if !problems.is_empty() {
        all.push(format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]", problems.join(" ")));
    }
    all.extend(of_workload(workload, old, at));
    all
}

/// The warnings about a workload's template, when it is new or its spec changed.
pub(crate) fn of_workload(workload: &Value, old: Option<&Value>, at: &[&str]) -> Vec<String> {
    if old.is_some_and(|old| old.get("spec") == workload.get("spec")) {
        return Vec::new();
    }
    let template = workload.at(at).unwrap_or(&Value::Null);
    of_template(template, &format!("{}.", at.join(".")))
}

/// What is to be said of a node label that has a new name.
pub(crate) fn renamed(key: &str) -> Option<String> {
    let (_, since, new) = RENAMED_LABELS.iter().find(|(old, ..)| *old == key)?;
    Some(format!("deprecated since {since}; use {} instead", quote(new)))
}

fn affinity(spec: &Value, path: &str) -> Vec<String> {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let path = format!("{path}.affinity.nodeAffinity");
    let affinity = spec.at(&["affinity", "nodeAffinity"]).unwrap_or(&Value::Null);
    let terms = affinity.items_at(&[REQUIRED, "nodeSelectorTerms"]).iter().enumerate();
    let terms = terms.map(|(i, term)| (format!("{path}.{REQUIRED}.nodeSelectorTerms[{i}]"), term));
    let preferred = affinity.items_at(&[PREFERRED]).iter().enumerate();
    let preferred = preferred
        .filter_map(|(i, weighted)| Some((format!("{path}.{PREFERRED}[{i}].preference"), weighted.get("preference")?)));
    let mut all = Vec::new();
    for (place, term) in terms.chain(preferred) {
        for (i, expression) in term.items_at(&["matchExpressions"]).iter().enumerate() {
            let key = expression.str_at(&["key"]).unwrap_or_default();
            all.extend(renamed(key).map(|advice| format!("{place}.matchExpressions[{i}].key: {key} is {advice}")));
        }
    }
    all
}

fn volumes(spec: &Value, path: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (i, volume) in spec.items_at(&["volumes"]).iter().enumerate() {
        let used = OLD_VOLUMES.iter().filter(|(kind, _)| volume.get(kind).is_some_and(|source| !source.is_null()));
        all.extend(used.map(|(kind, advice)| format!("{path}.volumes[{i}].{kind}: {advice}")));
    }
    all
}

fn duplicates(spec: &Value, path: &str, list: &str, field: &str) -> Vec<String> {
    let items = spec.items_at(&[list]);
    let value = |item: &Value| item.str_at(&[field]).map(ToOwned::to_owned);
    let repeated =
        items.iter().enumerate().filter(|(i, item)| items[..*i].iter().any(|other| value(other) == value(item)));
    repeated
        .map(|(i, item)| {
            format!("{path}.{list}[{i}].{field}: duplicate {field} {}", quote(&value(item).unwrap_or_default()))
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
