//! What deserves a warning in a pod.

mod container;
mod overlaps;

use machinery::field::{Path, quote};
use machinery::{Value, meta, names};

use crate::pod_spec::default::CONTAINER_LISTS;
use crate::pod_spec::quantity;
use crate::validate::address::ip_warnings;
use crate::validate::deprecated;
use crate::validate::metadata::sorted;

/// Labels of nodes that have new names, and what is said of them.
const OLD_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// Volumes that are no more, or soon: their field, its name in a warning, and what the API says of them.
const OLD_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Annotations without effect.
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const NO_POD: &str = "a null labelSelector results in matching no pod";

/// The warnings about a new pod; changes of pods come from controllers and kubelets, who read no warnings.
pub(super) fn warnings(pod: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let mut all = container::app_armor(pod);
    let problems = names::is_dns1123_label(meta::name(pod));
    if !problems.is_empty() {
        all.push(format!("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]", problems.join(" ")));
    }
    all.extend(of_template(pod, ""));
    all
}

/// The warnings about the pod or template whose fields have `prefix` before them: empty, or `spec.template.`.
pub(crate) fn of_template(template: &Value, prefix: &str) -> Vec<String> {
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let path = Path::new(format!("{prefix}spec"));
    let mut all = node_labels(spec, &path);
    all.extend(annotations(template, prefix));
    all.extend(volumes(spec, &path));
    all.extend(overlaps::warnings(spec));
    all.extend(duplicates(spec, &path, "hostAliases", "ip"));
    all.extend(duplicates(spec, &path, "imagePullSecrets", "name"));
    all.extend(nameless(spec, &path));
    all.extend(overhead(spec, &path));
    if !is_set(spec, &["securityContext", "seccompProfile"]) && meta::annotation(template, SECCOMP_POD).is_some() {
        all.push(container::seccomp(prefix, SECCOMP_POD));
    }
    all.extend(container::warnings(template, prefix));
    if spec.int_at(&["terminationGracePeriodSeconds"]).is_some_and(|seconds| seconds < 0) {
        all.push(format!(
            "{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    all.extend(pod_affinity(spec, &path));
    all.extend(addresses(spec, &path));
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
pub(crate) fn renamed(key: &str) -> Option<&'static str> {
    OLD_LABELS.iter().find(|(old, _)| *old == key).map(|(_, advice)| *advice)
}

/// Where the pod selects nodes, by labels with new names or by none at all.
fn node_labels(spec: &Value, path: &Path) -> Vec<String> {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let mut all = Vec::new();
    for (key, _) in sorted(spec.get("nodeSelector").and_then(Value::as_object)) {
        all.extend(renamed(key).map(|advice| format!("{}: {advice}", path.child("nodeSelector").key(key))));
    }
    let affinity = spec.at(&["affinity", "nodeAffinity"]).unwrap_or(&Value::Null);
    let place = path.child("affinity.nodeAffinity");
    for (i, term) in affinity.items_at(&[REQUIRED, "nodeSelectorTerms"]).iter().enumerate() {
        let place = place.child(REQUIRED).child("nodeSelectorTerms").index(i);
        all.extend(deprecated::expressions(term, &place));
    }
    for (i, weighted) in affinity.items_at(&[PREFERRED]).iter().enumerate() {
        let Some(term) = weighted.get("preference") else { continue };
        all.extend(preferred(term, &place.child(PREFERRED).index(i).child("preference")));
    }
    for (i, constraint) in spec.items_at(&["topologySpreadConstraints"]).iter().enumerate() {
        let key = constraint.str_at(&["topologyKey"]).unwrap_or_default();
        let place = path.child("topologySpreadConstraints").index(i);
        all.extend(renamed(key).map(|advice| format!("{}: {key} is {advice}", place.child("topologyKey"))));
        if !is_set(constraint, &["labelSelector"]) {
            all.push(format!("{}: {NO_POD}", place.child("labelSelector")));
        }
    }
    all
}

/// A preference that no node can meet is no error, but is told.
fn preferred(term: &Value, place: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for (i, expression) in term.items_at(&["matchExpressions"]).iter().enumerate() {
        let place = place.child("matchExpressions").index(i);
        let key = expression.str_at(&["key"]).unwrap_or_default();
        all.extend(renamed(key).map(|advice| format!("{}: {key} is {advice}", place.child("key"))));
        for (j, value) in expression.items_at(&["values"]).iter().filter_map(Value::as_str).enumerate() {
            let problems = names::is_label_value(value);
            let place = place.child("values").index(j);
            all.extend(problems.into_iter().map(|problem| format!("{place}: {value} is invalid, {problem}")));
        }
    }
    all
}

fn annotations(template: &Value, prefix: &str) -> Vec<String> {
    let used = OLD_ANNOTATIONS.iter().filter(|(key, _)| meta::annotation(template, key).is_some());
    used.map(|(key, advice)| format!("{prefix}metadata.annotations[{key}]: {advice}")).collect()
}

fn volumes(spec: &Value, path: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for (i, volume) in spec.items_at(&["volumes"]).iter().enumerate() {
        let path = path.child("volumes").index(i);
        let used = OLD_VOLUMES.iter().filter(|(field, ..)| is_set(volume, &[field]));
        all.extend(used.map(|(_, name, advice)| format!("{}: {advice}", path.child(name))));
        let claim = volume.at(&["ephemeral", "volumeClaimTemplate", "spec"]);
        let place = path.child("ephemeral.volumeClaimTemplate.spec");
        all.extend(claim.into_iter().flat_map(|claim| deprecated::claim_spec(claim, &place)));
    }
    all
}

fn duplicates(spec: &Value, path: &Path, list: &str, field: &str) -> Vec<String> {
    let items = spec.items_at(&[list]);
    let value = |item: &Value| item.str_at(&[field]).unwrap_or_default().to_owned();
    let repeated =
        items.iter().enumerate().filter(|(i, item)| items[..*i].iter().any(|other| value(other) == value(item)));
    let place = |i| path.child(list).index(i).child(field);
    repeated.map(|(i, item)| format!("{}: duplicate {field} {}", place(i), quote(&value(item)))).collect()
}

fn nameless(spec: &Value, path: &Path) -> Vec<String> {
    let secrets = spec.items_at(&["imagePullSecrets"]).iter().enumerate();
    let nameless = secrets.filter(|(_, secret)| secret.str_at(&["name"]).is_none_or(str::is_empty));
    let place = |i| path.child("imagePullSecrets").index(i).child("name");
    nameless.map(|(i, _)| format!("{}: invalid empty name \"\"", place(i))).collect()
}

fn overhead(spec: &Value, path: &Path) -> Vec<String> {
    let amount = |name: &str| spec.at(&["overhead", name]).and_then(quantity).filter(|amount| !amount.is_whole());
    let fractions = ["memory", "ephemeral-storage"].into_iter().filter_map(|name| Some((name, amount(name)?)));
    fractions
        .map(|(name, amount)| {
            let (place, amount) = (path.child("overhead").key(name), quote(&amount.to_string()));
            format!("{place}: fractional byte value {amount} is invalid, must be an integer")
        })
        .collect()
}

/// Terms about pods that select none.
fn pod_affinity(spec: &Value, path: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (list, term) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", &[][..]),
            ("preferredDuringSchedulingIgnoredDuringExecution", &["podAffinityTerm"][..]),
        ] {
            let terms = spec.items_at(&["affinity", kind, list]).iter().enumerate();
            let selector = [term, &["labelSelector"]].concat();
            let blind = terms.filter(|(_, entry)| !is_set(entry, &selector));
            let place = path.child("affinity").child(kind).child(list);
            all.extend(blind.map(|(i, _)| format!("{}.{}: {NO_POD}", place.index(i), selector.join("."))));
        }
    }
    all
}

/// Addresses that are not written as they should be.
fn addresses(spec: &Value, path: &Path) -> Vec<String> {
    let servers = spec.items_at(&["dnsConfig", "nameservers"]).iter().enumerate();
    let servers = servers.map(|(i, server)| (path.child("dnsConfig.nameservers").index(i), server.as_str()));
    let aliases = spec.items_at(&["hostAliases"]).iter().enumerate();
    let aliases = aliases.map(|(i, alias)| (path.child("hostAliases").index(i).child("ip"), alias.str_at(&["ip"])));
    servers.chain(aliases).flat_map(|(place, ip)| ip_warnings(ip.unwrap_or_default(), &place)).collect()
}

fn is_set(object: &Value, path: &[&str]) -> bool {
    object.at(path).is_some_and(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn an_annotation_is_told_of_though_a_field_was_made_of_it() {
        let mut pod = value!({
            "metadata": {"name": "p", "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
            "spec": {"containers": [{"name": "c"}, {"name": "d"}]},
        });
        super::super::app_armor_fields(&mut pod);
        assert_eq!(
            warnings(&pod, None),
            [
                r#"metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead"#
            ]
        );
    }

    #[test]
    fn templates() {
        let template = value!({
            "metadata": {"annotations": {
                "scheduler.alpha.kubernetes.io/critical-pod": "",
                "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
                "container.seccomp.security.alpha.kubernetes.io/c": "unconfined",
                "container.seccomp.security.alpha.kubernetes.io/none": "unconfined",
            }},
            "spec": {
                "nodeSelector": {"node-role.kubernetes.io/master": ""},
                "topologySpreadConstraints": [{"topologyKey": "beta.kubernetes.io/os"}, {"labelSelector": {}}],
                "affinity": {
                    "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                        {"preference": {"matchExpressions": [{"key": "a", "values": ["-"]}]}},
                    ]},
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}],
                        "preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"topologyKey": "a"}}],
                    },
                },
                "volumes": [
                    {"name": "s", "storageos": {}},
                    {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1.5"}}}}}},
                ],
                "imagePullSecrets": [{"name": ""}],
                "overhead": {"memory": "1.5"},
                "hostAliases": [{"ip": "FD00::1"}, {"ip": "FD00::1"}],
                "containers": [{"name": "c"}],
            },
        });
        expect_test::expect![[r#"
            t.spec.nodeSelector[node-role.kubernetes.io/master]: use "node-role.kubernetes.io/control-plane" instead
            t.spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]: - is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            t.spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead
            t.spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod
            t.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead
            t.spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+
            t.spec.volumes[1].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer
            t.spec.hostAliases[1].ip: duplicate ip "FD00::1"
            t.spec.imagePullSecrets[0].name: invalid empty name ""
            t.spec.overhead[memory]: fractional byte value "1500m" is invalid, must be an integer
            t.metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the "seccompProfile" field instead
            t.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead
            t.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod
            t.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod
            t.spec.hostAliases[0].ip: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")
            t.spec.hostAliases[1].ip: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")"#]]
        .assert_eq(&of_template(&template, "t.").join("\n"));
    }
}
