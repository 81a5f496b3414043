//! What objects use of a namespace's quota, by the names that a ResourceQuota limits (KEP-168, the API's `spec.hard`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use machinery::quantity::Format;
use machinery::{Object, Quantity, Value, meta};

use crate::core::pod::qos_class;
use crate::pod_spec::{amounts, quantity, totals};
use crate::validate::resources::is_extended;

/// Amounts by name.
pub type Amounts = BTreeMap<String, Quantity>;

/// What every container must ask for when a quota limits it.
const MUST_SPECIFY: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Resources with a short name for their number of objects.
const COUNTED: [&str; 7] =
    ["configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services"];

/// Group and plural of the claims of devices.
pub const DEVICE_CLAIMS: (&str, &str) = ("resource.k8s.io", "resourceclaims");
/// What claims ask for is counted by class: its name, and this.
const DEVICES_OF_CLASS: &str = ".deviceclass.resource.k8s.io/devices";

/// Who asks for all devices that fit gets no more than an allocation can hold.
const ALL_DEVICES: i64 = 32;

/// The amounts in a list of a quota.
#[must_use]
pub fn amounts_at(quota: &Value, path: &[&str]) -> Amounts {
    let members = quota.at(path).and_then(Value::as_object).into_iter().flat_map(Object::iter);
    members.filter_map(|(name, amount)| Some((name.to_string(), quantity(amount)?))).collect()
}

/// The name that counts the objects of a resource: `count/deployments.apps`.
#[must_use]
pub fn count_name(group: &str, resource: &str) -> String {
    if group.is_empty() { format!("count/{resource}") } else { format!("count/{resource}.{group}") }
}

/// What an object uses. A pod that has ended, or should have, only counts as an object.
#[must_use]
pub fn usage(group: &str, resource: &str, object: &Value, now: Timestamp) -> Amounts {
    let one = Quantity::new(1, Format::DecimalSi);
    let mut used = Amounts::from([(count_name(group, resource), one)]);
    if (group, resource) == DEVICE_CLAIMS {
        used.extend(device_usage(object));
    }
    if !group.is_empty() {
        return used;
    }
    if COUNTED.contains(&resource) && (resource != "pods" || is_running(object, now)) {
        used.insert(resource.to_owned(), one);
    }
    match resource {
        "pods" if is_running(object, now) => used.extend(pod_usage(object)),
        "services" => used.extend(service_usage(object)),
        "persistentvolumeclaims" => used.extend(claim_usage(object)),
        _ => {}
    }
    used
}

/// Which of the names that a quota limits have to do with a resource.
#[must_use]
pub fn limits(group: &str, resource: &str, name: &str) -> bool {
    if name == count_name(group, resource) || (group.is_empty() && COUNTED.contains(&resource) && name == resource) {
        return true;
    }
    match (group, resource) {
        ("", "pods") => is_compute(name),
        ("", "services") => matches!(name, "services.nodeports" | "services.loadbalancers"),
        ("", "persistentvolumeclaims") => name == "requests.storage" || name.contains(OF_CLASS),
        DEVICE_CLAIMS => name.ends_with(DEVICES_OF_CLASS),
        _ => false,
    }
}

/// What the containers of a pod would have to ask for, when `limited` are limited; as the API words it.
///
/// # Errors
/// The sentence, when something is missing.
pub fn check_pod(pod: &Value, limited: &BTreeSet<String>) -> Result<(), String> {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let containers = spec.items_at(&["containers"]).iter().chain(spec.items_at(&["initContainers"]));
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers {
        let asked = named(&amounts(container, "requests"), &amounts(container, "limits"));
        let wanted = MUST_SPECIFY.into_iter().filter(|name| limited.contains(*name) && !asked.contains_key(*name));
        for name in wanted {
            missing.entry(name).or_default().insert(container.str_at(&["name"]).unwrap_or_default());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let join = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(",");
    let parts: Vec<String> = missing.iter().map(|(name, of)| format!("{name} for: {}", join(of))).collect();
    Err(format!("must specify {}", parts.join("; ")))
}

/// Whether a quota is about an object: all its scopes must match. Only pods and claims have scopes.
#[must_use]
pub fn in_scope(quota: &Value, group: &str, resource: &str, object: &Value) -> bool {
    let plain = quota.items_at(&["spec", "scopes"]).iter().filter_map(Value::as_str);
    let plain = plain.map(|scope| (scope, "Exists", &[][..]));
    let selected = quota.items_at(&["spec", "scopeSelector", "matchExpressions"]).iter().map(|term| {
        let text = |field| term.str_at(&[field]).unwrap_or_default();
        (text("scopeName"), text("operator"), term.items_at(&["values"]))
    });
    plain.chain(selected).all(|(scope, operator, values)| match (group, resource) {
        ("", "pods") => pod_scope(object, scope, operator, values),
        ("", "persistentvolumeclaims") if scope == "VolumeAttributesClass" => {
            let class = object.str_at(&["spec", "volumeAttributesClassName"]).unwrap_or_default();
            selects(class, operator, values)
        }
        _ => false,
    })
}

fn pod_scope(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    match scope {
        "Terminating" => spec.int_at(&["activeDeadlineSeconds"]).is_some(),
        "NotTerminating" => spec.int_at(&["activeDeadlineSeconds"]).is_none(),
        "BestEffort" => qos_class(spec) == "BestEffort",
        "NotBestEffort" => qos_class(spec) != "BestEffort",
        "PriorityClass" => selects(spec.str_at(&["priorityClassName"]).unwrap_or_default(), operator, values),
        "CrossNamespacePodAffinity" => looks_across(spec),
        _ => false,
    }
}

fn selects(name: &str, operator: &str, values: &[Value]) -> bool {
    let listed = values.iter().any(|value| value.as_str() == Some(name));
    match operator {
        "In" => !name.is_empty() && listed,
        "NotIn" => !listed,
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        _ => false,
    }
}

/// Whether an affinity term of the pod speaks of other namespaces.
fn looks_across(spec: &Value) -> bool {
    let names_some =
        |term: &Value| !term.items_at(&["namespaces"]).is_empty() || term.get("namespaceSelector").is_some();
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let terms = |list| spec.items_at(&["affinity", kind, list]).iter();
        terms("requiredDuringSchedulingIgnoredDuringExecution").any(names_some)
            || terms("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|term| term.get("podAffinityTerm").is_some_and(names_some))
    })
}

/// Whether the pod still holds what it asked for.
fn is_running(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod.str_at(&["status", "phase"]), Some("Failed" | "Succeeded")) {
        return false;
    }
    let grace = meta::deletion_grace_period_seconds(pod);
    let ends = meta::deletion_timestamp(pod).zip(grace).map(|(at, grace)| at + SignedDuration::from_secs(grace));
    ends.is_none_or(|ends| now <= ends)
}

fn pod_usage(pod: &Value) -> Amounts {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let (mut requests, mut limits) = (totals(spec, "requests"), totals(spec, "limits"));
    // What the whole pod asks for stands above its containers (KEP-2837).
    requests.extend(amounts(spec, "requests"));
    limits.extend(amounts(spec, "limits"));
    for (name, amount) in amounts_at(spec, &["overhead"]) {
        let total = requests.entry(name.as_str().into()).or_default();
        *total = *total + amount;
        if let Some(limit) = limits.get_mut(name.as_str()) {
            *limit = *limit + amount;
        }
    }
    named(&requests, &limits)
}

/// Requests and limits by the names that quotas have for them.
fn named<K: AsRef<str>>(requests: &BTreeMap<K, Quantity>, limits: &BTreeMap<K, Quantity>) -> Amounts {
    let mut named = Amounts::new();
    for (name, amount) in requests {
        let name = name.as_ref();
        if is_divided(name) || name.starts_with(HUGE_PAGES) {
            named.insert(name.to_owned(), *amount);
            named.insert(format!("requests.{name}"), *amount);
        } else if is_extended(name) {
            named.insert(format!("requests.{name}"), *amount);
        }
    }
    let divided = limits.iter().filter(|(name, _)| is_divided(name.as_ref()));
    named.extend(divided.map(|(name, amount)| (format!("limits.{}", name.as_ref()), *amount)));
    named
}

const HUGE_PAGES: &str = "hugepages-";

/// What stands between a storage class and the resource of its own that it limits.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";

fn is_divided(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage")
}

fn is_compute(name: &str) -> bool {
    if is_divided(name) || name.starts_with(HUGE_PAGES) || name.strip_prefix("limits.").is_some_and(is_divided) {
        return true;
    }
    let requested = name.strip_prefix("requests.");
    requested.is_some_and(|name| is_divided(name) || name.starts_with(HUGE_PAGES) || is_extended(name))
}

fn service_usage(service: &Value) -> Amounts {
    let ports = service.items_at(&["spec", "ports"]);
    let (balancers, nodes) = match service.str_at(&["spec", "type"]) {
        Some("NodePort") => (0, ports.len()),
        Some("LoadBalancer") => {
            let given = service.bool_at(&["spec", "allocateLoadBalancerNodePorts"]) == Some(false);
            let asked = ports.iter().filter(|port| port.int_at(&["nodePort"]).is_some_and(|port| port != 0));
            (1, if given { asked.count() } else { ports.len() })
        }
        _ => (0, 0),
    };
    let number = |count: usize| Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi);
    Amounts::from([
        ("services.loadbalancers".to_owned(), number(balancers)),
        ("services.nodeports".to_owned(), number(nodes)),
    ])
}

fn claim_usage(claim: &Value) -> Amounts {
    let class = claim.str_at(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    let class = class.or_else(|| claim.str_at(&["spec", "storageClassName"])).unwrap_or_default();
    let mut used = Amounts::new();
    let storage = claim.at(&["spec", "resources", "requests", "storage"]).and_then(quantity);
    if let Some(storage) = storage {
        used.insert("requests.storage".to_owned(), storage);
    }
    if !class.is_empty() {
        used.insert(format!("{class}{OF_CLASS}persistentvolumeclaims"), Quantity::new(1, Format::DecimalSi));
        used.extend(storage.map(|storage| (format!("{class}{OF_CLASS}requests.storage"), storage)));
    }
    used
}

/// The devices that a claim may get, by class. Of alternatives the largest of each class counts.
fn device_usage(claim: &Value) -> Amounts {
    let mut used = BTreeMap::<String, i64>::new();
    for request in claim.items_at(&["spec", "devices", "requests"]) {
        let mut most = BTreeMap::<String, i64>::new();
        for asked in request.items_at(&["firstAvailable"]).iter().chain(request.get("exactly")) {
            let count = match asked.str_at(&["allocationMode"]) {
                Some("ExactCount") => asked.int_at(&["count"]).unwrap_or_default(),
                Some("All") => ALL_DEVICES,
                _ => 0,
            };
            let class = asked.str_at(&["deviceClassName"]).unwrap_or_default();
            let known = most.entry(format!("{class}{DEVICES_OF_CLASS}")).or_default();
            *known = count.max(*known);
        }
        for (name, count) in most {
            *used.entry(name).or_default() += count;
        }
    }
    used.into_iter().map(|(name, count)| (name, Quantity::new(count, Format::DecimalSi))).collect()
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    fn shown(resource: &str, object: &Value) -> String {
        let used = usage("", resource, object, Timestamp::UNIX_EPOCH);
        let parts: Vec<String> = used.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        parts.join(",")
    }

    #[test]
    fn usages() {
        let pod = value!({"spec": {
            "overhead": {"cpu": "10m"},
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "2"}}}],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "example.com/a": "3"}, "limits": {"memory": "1Gi"}}}],
        }});
        let ended = value!({"status": {"phase": "Succeeded"}});
        let service = value!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}});
        let claim = value!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "5Gi"}}}});
        expect_test::expect![[r"
            count/pods=1,cpu=2010m,limits.memory=1Gi,pods=1,requests.cpu=2010m,requests.example.com/a=3
            count/pods=1
            count/services=1,services=1,services.loadbalancers=1,services.nodeports=2
            count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=5Gi,persistentvolumeclaims=1,requests.storage=5Gi"]]
        .assert_eq(
            &[
                shown("pods", &pod),
                shown("pods", &ended),
                shown("services", &service),
                shown("persistentvolumeclaims", &claim),
            ]
            .join("\n"),
        );
        let limited = BTreeSet::from(["cpu".to_owned(), "limits.memory".to_owned(), "pods".to_owned()]);
        assert_eq!(check_pod(&pod, &limited).unwrap_err(), "must specify limits.memory for: i");
    }

    #[test]
    fn devices_are_counted_by_class() {
        let claim = value!({"spec": {"devices": {"requests": [
            {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
            {"name": "b", "firstAvailable": [
                {"name": "large", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
                {"name": "larger", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 4},
                {"name": "small", "deviceClassName": "nic", "allocationMode": "ExactCount", "count": 3}
            ]},
            {"name": "c", "exactly": {"deviceClassName": "fpga", "allocationMode": "All"}},
            {"name": "d", "exactly": {"deviceClassName": "fpga", "allocationMode": "Later"}}
        ]}}});
        let (group, resource) = DEVICE_CLAIMS;
        let used = usage(group, resource, &claim, Timestamp::UNIX_EPOCH);
        let shown: Vec<String> = used.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        expect_test::expect![[r"
            count/resourceclaims.resource.k8s.io=1
            fpga.deviceclass.resource.k8s.io/devices=32
            gpu.deviceclass.resource.k8s.io/devices=6
            nic.deviceclass.resource.k8s.io/devices=3"]]
        .assert_eq(&shown.join("\n"));
        assert!(used.keys().all(|name| limits(group, resource, name)));
        assert!(!limits("", "pods", "gpu.deviceclass.resource.k8s.io/devices"));
    }

    #[test]
    fn scopes() {
        let quota = value!({"spec": {"scopes": ["BestEffort"], "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
        ]}}});
        let pod = |class: &str| value!({"spec": {"priorityClassName": (class), "containers": [{"name": "c"}]}});
        assert!(in_scope(&quota, "", "pods", &pod("high")));
        assert!(!in_scope(&quota, "", "pods", &pod("low")));
        assert!(!in_scope(&quota, "", "secrets", &value!({})));
    }
}
