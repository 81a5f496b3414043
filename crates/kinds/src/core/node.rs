//! Node: a machine that runs pods.

use std::cmp::Ordering;

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path, quote};
use machinery::{Object, Value, meta, value};

use crate::kind::{
    ALL_VERBS, BASE, Context, Kind, MetadataChecks, STATUS, SUBRESOURCE, Subresource, keep_spec, selectable,
};
use crate::table::{AGE, Describe, NAME, age, str, str_or, text};
use crate::validate::address::cidr_warnings;
use crate::validate::metadata::{label_name, sorted};
use crate::validate::resources::amount_of;
use crate::validate::{cidr, one_of, parse_cidr};

const STATUS_SCHEMA: &str = "io.k8s.api.core.v1.NodeStatus";
const SYSTEM_INFO: &str = "io.k8s.api.core.v1.NodeSystemInfo";
/// The longest name of a feature that a node declares.
const MAX_FEATURE_BYTES: usize = 253;
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Node",
    plural: "nodes",
    short_names: &["no"],
    namespaced: false,
    storage: "minions",
    schema: "io.k8s.api.core.v1.Node",
    verbs: ALL_VERBS,
    subresources: &[
        Subresource {
            name: "proxy",
            body: ("", "v1", "NodeProxyOptions"),
            verbs: &["create", "delete", "get", "patch", "update"],
            ..SUBRESOURCE
        },
        Subresource { prepare: prepare_status, validate: validate_change, ..STATUS },
    ],
    columns: &[
        NAME,
        text("Status", Describe::Text("The status of the node")),
        text("Roles", Describe::Text("The roles of the node")),
        AGE,
        text("Version", Describe::Field(SYSTEM_INFO, "kubeletVersion")),
        text("Internal-IP", Describe::Field(STATUS_SCHEMA, "addresses")).wide(),
        text("External-IP", Describe::Field(STATUS_SCHEMA, "addresses")).wide(),
        text("OS-Image", Describe::Field(SYSTEM_INFO, "osImage")).wide(),
        text("Kernel-Version", Describe::Field(SYSTEM_INFO, "kernelVersion")).wide(),
        text("Container-Runtime", Describe::Field(SYSTEM_INFO, "containerRuntimeVersion")).wide(),
    ],
    row,
    selectable: selectable!["metadata.name", "spec.unschedulable"],
    creates_status: true,
    default,
    prepare_create: |node, _| drop(node.remove_at(&["spec", "configSource"])),
    prepare_update: |new, old, _| {
        if old.at(&["spec", "configSource"]).is_none() {
            new.remove_at(&["spec", "configSource"]);
        }
    },
    validate,
    validate_update: |new, old| {
        let mut errors = validate(new);
        errors.extend(validate_change(new, old));
        errors
    },
    warnings: |node, _| warnings(node),
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(node: &Value, now: Timestamp) -> Vec<Value> {
    let info = |field: &str| str_or(node, &["status", "nodeInfo", field], "<unknown>");
    vec![
        meta::name(node).into(),
        status_text(node).into(),
        roles(node).into(),
        age(node, now),
        str(node, &["status", "nodeInfo", "kubeletVersion"]),
        address(node, "InternalIP"),
        address(node, "ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn warnings(node: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if node.str_at(&["spec", "externalID"]).is_some_and(|id| !id.is_empty()) {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let path = Path::new("spec.podCIDRs");
    let ranges = node.items_at(&["spec", "podCIDRs"]).iter().filter_map(Value::as_str).enumerate();
    warnings.extend(ranges.flat_map(|(i, range)| cidr_warnings(range, &path.index(i))));
    warnings
}

fn status_text(node: &Value) -> String {
    let ready = node.items_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == Some("Ready"));
    let ready = match ready.map(|condition| condition.str_at(&["status"])) {
        Some(Some("True")) => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node.bool_at(&["spec", "unschedulable"]) == Some(true) {
        return format!("{ready},SchedulingDisabled");
    }
    ready.to_owned()
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in meta::labels(node).into_iter().flat_map(Object::iter) {
        let role = match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => role,
            None if key == "kubernetes.io/role" => value.as_str().unwrap_or_default(),
            None => continue,
        };
        if !role.is_empty() {
            roles.push(role);
        }
    }
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address(node: &Value, kind: &str) -> Value {
    let found = node.items_at(&["status", "addresses"]).iter().find(|a| a.str_at(&["type"]) == Some(kind));
    found.and_then(|a| a.str_at(&["address"])).unwrap_or("<none>").into()
}

/// The old field for a range of addresses is the first of the list; what can be allocated is everything, unless the
/// node says less.
fn default(node: &mut Value) {
    if let Some(range) = node.str_at(&["spec", "podCIDR"]).filter(|range| !range.is_empty()).map(ToOwned::to_owned) {
        let mut ranges = node.items_at(&["spec", "podCIDRs"]).to_vec();
        match ranges.first_mut() {
            Some(first) => *first = range.into(),
            None => ranges.push(range.into()),
        }
        node.set_at(&["spec", "podCIDRs"], Value::Array(ranges));
    } else if let Some(first) = node.items_at(&["spec", "podCIDRs"]).first().cloned() {
        node.set_at(&["spec", "podCIDR"], first);
    }
    let Some(capacity) = node.at(&["status", "capacity"]).cloned() else { return };
    if node.at(&["status", "allocatable"]).is_none() {
        node.set_at(&["status", "allocatable"], capacity);
    }
}

fn prepare_status(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep_spec(new, old);
    if old.at(&["status", "config"]).is_none() {
        new.remove_at(&["status", "config"]);
    }
}

fn validate(node: &Value) -> Errors {
    let mut errors = taints(node);
    errors.extend(status(node));
    if let Some(capacity) = node.int_at(&["status", "nodeInfo", "swap", "capacity"]).filter(|capacity| *capacity <= 0) {
        // Upstream's path is that of another place.
        let path = Path::new("metadata.nodeSwapStatus.capacity");
        errors.push(Error::invalid(&path, capacity, "must be greater than zero"));
    }
    errors.extend(declared_features(node));
    errors.extend(pod_cidrs(node));
    errors
}

/// Features that the node's kubelet has (KEP-5328): sorted, none twice.
fn declared_features(node: &Value) -> Errors {
    let path = Path::new("status.declaredFeatures");
    let all: Vec<&str> = node.items_at(&["status", "declaredFeatures"]).iter().filter_map(Value::as_str).collect();
    let mut errors = Errors::new();
    for (i, feature) in all.iter().enumerate() {
        errors.extend(feature_name(feature).map(|detail| Error::invalid(&path.index(i), *feature, detail)));
        let Some(next) = all.get(i + 1) else { continue };
        match feature.cmp(next) {
            Ordering::Less => {}
            Ordering::Equal => errors.push(Error::duplicate(&path.index(i + 1), *next)),
            Ordering::Greater => {
                errors.push(Error::invalid(&path.index(i + 1), *next, "list must be sorted alphabetically"));
            }
        }
    }
    errors
}

/// Names with a capital first, the parts after it below slashes.
fn feature_name(name: &str) -> Option<String> {
    let shown = quote(name);
    if name.len() > MAX_FEATURE_BYTES {
        return Some(format!("invalid feature name {shown}: must be no more than {MAX_FEATURE_BYTES} characters"));
    }
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let good = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(plain);
    let detail = format!(
        "invalid feature name {shown}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
    );
    (!good).then_some(detail)
}

fn status(node: &Value) -> Errors {
    let mut errors = Errors::new();
    for field in ["capacity", "allocatable"] {
        for (name, amount) in sorted(node.at(&["status", field]).and_then(Value::as_object)) {
            errors.extend(amount_of(name, amount, &Path::new("status").child(field).child(name)));
        }
    }
    errors
}

fn taints(node: &Value) -> Errors {
    let path = Path::new("metadata.taints");
    let mut errors = Errors::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, taint) in node.items_at(&["spec", "taints"]).iter().enumerate() {
        let path = path.index(i);
        let text = |field: &str| taint.str_at(&[field]).unwrap_or_default();
        errors.extend(label_name(text("key"), &path.child("key")));
        let value = text("value");
        let problems = machinery::names::is_label_value(value);
        if !problems.is_empty() {
            errors.push(Error::invalid(&path.child("value"), value, problems.join(";")));
        }
        errors.extend(effect(text("effect"), &path.child("effect")));
        if seen.contains(&(text("key"), text("effect"))) {
            let shown = value!({
                "Key": (text("key")), "Value": value, "Effect": (text("effect")),
                "TimeAdded": (taint.get("timeAdded").cloned()),
            });
            let mut error = Error::duplicate(&path, shown);
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            errors.push(error);
        }
        seen.push((text("key"), text("effect")));
    }
    errors
}

fn effect(effect: &str, path: &Path) -> Option<Error> {
    if effect.is_empty() {
        return Some(Error::required(path, ""));
    }
    one_of(effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], path)
}

fn pod_cidrs(node: &Value) -> Errors {
    let path = Path::new("spec.podCIDRs");
    let all: Vec<&str> = node.items_at(&["spec", "podCIDRs"]).iter().filter_map(Value::as_str).collect();
    let mut errors: Errors = all.iter().enumerate().filter_map(|(i, range)| cidr(range, &path.index(i))).collect();
    if all.len() < 2 {
        return errors;
    }
    if let Some((i, range)) = all.iter().enumerate().find(|(_, range)| parse_cidr(range).is_none()) {
        // Upstream prints what it could not read instead of the text that it read from.
        let problem = format!("invalid CIDR[{i}]: <nil> (invalid CIDR address: {range})");
        let detail = format!("invalid PodCIDRs. failed to check with dual stack with error:{problem}");
        errors.push(Error::internal(&path, detail));
    }
    let families: Vec<bool> =
        all.iter().filter_map(|range| parse_cidr(range)).map(|net| net.addr().is_ipv4()).collect();
    let dual = families.contains(&true) && families.contains(&false) && families.len() == all.len();
    if !dual || all.len() > 2 {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(Error::invalid(&path, Value::from(all), detail));
    }
    errors
}

/// What is wrong with how a node changes, as a whole or in its status only.
fn validate_change(new: &Value, old: &Value) -> Errors {
    let mut errors = status(new);
    errors.extend(declared_features(new));
    let addresses = new.items_at(&["status", "addresses"]);
    for (i, address) in addresses.iter().enumerate().filter(|(i, address)| addresses[..*i].contains(address)) {
        let part = |field: &str| address.str_at(&[field]).unwrap_or_default();
        let shown = value!({"Type": (part("type")), "Address": (part("address"))});
        errors.push(Error::duplicate(&Path::new("status.addresses").index(i), shown));
    }
    let ranges = |node: &Value| node.items_at(&["spec", "podCIDRs"]).to_vec();
    let (before, after) = (ranges(old), ranges(new));
    let wrong = if before.len() == after.len() {
        before.iter().zip(&after).filter(|(before, after)| before != after).count()
    } else {
        usize::from(!before.is_empty())
    };
    for _ in 0..wrong {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(Error::forbidden(&Path::new("spec.podCIDRs"), detail));
    }
    let provider = |node: &Value| node.str_at(&["spec", "providerID"]).unwrap_or_default().to_owned();
    if !provider(old).is_empty() && provider(old) != provider(new) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(Error::forbidden(&Path::new("spec.providerID"), detail));
    }
    errors.extend(taints(new));
    let external = |node: &Value| node.str_at(&["spec", "externalID"]).unwrap_or_default().to_owned();
    if external(new) != external(old) {
        errors.push(Error::forbidden(&Path::new("spec.externalID"), "may not be updated"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn ranges_and_features() {
        let of = |node: Value| field::aggregate(&validate(&node));
        expect_test::expect![[r#"[spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64), spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[0]: <nil> (invalid CIDR address: x), spec.podCIDRs: Invalid value: ["x","10.0.0.0/24"]: may specify no more than one CIDR for each IP family]"#]]
            .assert_eq(&of(value!({"spec": {"podCIDRs": ["x", "10.0.0.0/24"]}})));
        expect_test::expect![[r#"[status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically, status.declaredFeatures[2]: Duplicate value: "A"]"#]]
            .assert_eq(&of(value!({"status": {"declaredFeatures": ["B/c", "A", "A"]}})));
        expect_test::expect![[r#"status.declaredFeatures[0]: Invalid value: "a/": invalid feature name "a/": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"#]]
            .assert_eq(&of(value!({"status": {"declaredFeatures": ["a/"]}})));
    }
}
