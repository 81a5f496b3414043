//! The status of a pod: its addresses in the old field and the new, and what may not be written.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use super::{annotations, container_status, transitions};
use crate::kind::{Context, keep, keep_spec};
use crate::validate::{ip, text};

/// Conditions that Kubernetes itself writes.
const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

/// The old field for an address is the first of the list; where they differ, an old client wrote the old field.
pub(super) fn default(pod: &mut Value) {
    let old = pod.str_at(&["status", "podIP"]).filter(|ip| !ip.is_empty()).map(str::to_owned);
    let first = pod.items_at(&["status", "podIPs"]).first().and_then(|ip| ip.str_at(&["ip"])).map(str::to_owned);
    match (old, first) {
        (Some(old), first) if first.as_ref() != Some(&old) => {
            pod.set_at(&["status", "podIPs"], Value::Array(vec![value!({"ip": old})]));
        }
        (None, Some(first)) => pod.set_at(&["status", "podIP"], first),
        _ => {}
    }
}

/// Puts back what a write of the status may not touch.
pub(super) fn prepare(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep_spec(new, old);
    meta::set_deletion_timestamp(new, None);
    keep(new, old, &["metadata", "deletionTimestamp"]);
    keep(new, old, &["metadata", "ownerReferences"]);
    if new.at(&["status", "qosClass"]).is_none() {
        keep(new, old, &["status", "qosClass"]);
    }
}

/// What is wrong with a written status.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let mut errors = annotations::check_update(new, old);
    errors.extend(conditions(new));
    errors.extend(nominated_node(new, old, &path.child("nominatedNodeName")));
    errors.extend(not_below_zero(new.get("status").unwrap_or(&Value::Null), &path));
    let class = |pod: &Value| pod.at(&["status", "qosClass"]).cloned();
    errors.extend(crate::strategy::immutable(class(new).as_ref(), class(old).as_ref(), &path.child("qosClass")));
    errors.extend(transitions::check(new, old, &path));
    errors.extend(claims(new, &path.child("resourceClaimStatuses")));
    errors.extend(extended_claim(new, &path.child("extendedResourceClaimStatus")));
    errors.extend(addresses(new.items_at(&["status", "podIPs"]), &path.child("podIPs")));
    errors.extend(host_addresses(new, &path.child("hostIPs")));
    errors.extend(container_status::users(new, &path));
    errors.extend(container_status::resources(new, &path));
    errors
}

/// A node is nominated for a pod that waits, not for one that has its node.
fn nominated_node(new: &Value, old: &Value, path: &Path) -> Errors {
    let nominated = |pod: &Value| pod.str_at(&["status", "nominatedNodeName"]).unwrap_or_default().to_owned();
    let node = nominated(new);
    if node.is_empty() || node == nominated(old) {
        return Errors::new();
    }
    let mut errors: Errors = text(names::is_dns1123_subdomain, &node, path).collect();
    if old.str_at(&["spec", "nodeName"]).is_some_and(|name| !name.is_empty()) {
        let detail = "may not be set on pods that are already bound to a node";
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

fn not_below_zero(object: &Value, path: &Path) -> Option<Error> {
    let generation = object.int_at(&["observedGeneration"]).filter(|generation| *generation < 0)?;
    let detail = "must be a non-negative integer";
    Some(Error::invalid(&path.child("observedGeneration"), generation, detail))
}

fn conditions(pod: &Value) -> Errors {
    let path = Path::new("status.conditions");
    let mut errors = Errors::new();
    for (i, condition) in pod.items_at(&["status", "conditions"]).iter().enumerate() {
        let kind = condition.str_at(&["type"]).unwrap_or_default();
        errors.extend(not_below_zero(condition, &path.index(i)));
        if !SYSTEM_CONDITIONS.contains(&kind) {
            errors.extend(text(names::is_qualified_name, kind, &path.index(i).child("Type")));
        }
    }
    errors
}

fn claims(pod: &Value, path: &Path) -> Errors {
    let all = pod.items_at(&["status", "resourceClaimStatuses"]);
    let mut errors = Errors::new();
    for (i, status) in all.iter().enumerate() {
        let item = path.index(i);
        let path = item.child("name");
        let name = status.str_at(&["name"]).unwrap_or_default();
        if !pod.items_at(&["spec", "resourceClaims"]).iter().any(|claim| claim.str_at(&["name"]) == Some(name)) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(Error::invalid(&path, name, detail));
        }
        if all[..i].iter().any(|other| other.str_at(&["name"]) == Some(name)) {
            errors.push(Error::duplicate(&path, name));
        }
        if let Some(claim) = status.str_at(&["resourceClaimName"]) {
            errors.extend(text(names::is_dns1123_subdomain, claim, &item.child("resourceClaimName")));
        }
    }
    errors
}

/// The claim that stands for extended resources says which request of it serves which container (KEP-5004).
fn extended_claim(pod: &Value, path: &Path) -> Errors {
    let status = pod.at(&["status", "extendedResourceClaimStatus"]).filter(|status| !status.is_null());
    let Some(status) = status else { return Errors::new() };
    let mappings = status.items_at(&["requestMappings"]);
    let field = path.child("requestMappings");
    let mut errors = Errors::new();
    if mappings.is_empty() {
        errors.push(Error::required(&field, "at least one request mapping is required"));
    }
    for (i, mapping) in mappings.iter().enumerate() {
        let item = field.index(i);
        errors.extend(served(pod, mapping, &item));
        // Upstream's path leaves the mapping out.
        let request = mapping.str_at(&["requestName"]).unwrap_or_default();
        errors.extend(text(names::is_dns1123_label, request, &path.child("requestName")));
        if mappings[..i].contains(mapping) {
            for field in ["containerName", "resourceName", "requestName"] {
                errors.push(Error::duplicate(&item.child(field), mapping.str_at(&[field]).unwrap_or_default()));
            }
        }
    }
    let field = path.child("resourceClaimName");
    match status.str_at(&["resourceClaimName"]).unwrap_or_default() {
        "" => errors.push(Error::required(&field, "")),
        claim => errors.extend(text(names::is_dns1123_subdomain, claim, &field)),
    }
    errors
}

/// The container is one of the pod's and asks for the resource.
fn served(pod: &Value, mapping: &Value, path: &Path) -> Option<Error> {
    let [container, resource] = ["containerName", "resourceName"].map(|f| mapping.str_at(&[f]).unwrap_or_default());
    let mut all = ["containers", "initContainers"].into_iter().flat_map(|list| pod.items_at(&["spec", list]));
    let Some(found) = all.find(|one| one.str_at(&["name"]) == Some(container)) else {
        let detail = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
        return Some(Error::invalid(&path.child("containerName"), container, detail));
    };
    let detail = "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
    let asks = found.at(&["resources", "requests", resource]).is_some();
    (!asks).then(|| Error::invalid(&path.child("resourceName"), resource, detail))
}

/// At most one address of each family.
fn addresses(all: &[Value], path: &Path) -> Errors {
    let address = |item: &Value| item.str_at(&["ip"]).unwrap_or_default().to_owned();
    let texts: Vec<String> = all.iter().map(address).collect();
    let mut errors: Errors = texts.iter().enumerate().flat_map(|(i, text)| ip(text, &path.index(i))).collect();
    if all.len() < 2 {
        return errors;
    }
    let unreadable = texts.iter().position(|text| names::parse_ip(text).is_none());
    if let Some(i) = unreadable {
        let detail = format!("failed to check for dual stack with error:invalid IP[{i}]: {}", texts[i]);
        errors.push(Error::internal(path, detail));
    }
    let four: Vec<bool> = texts.iter().filter_map(|text| Some(names::parse_ip(text)?.is_ipv4())).collect();
    if all.len() > 2 || (four != [true, false] && four != [false, true]) {
        let shown = all.iter().map(|item| value!({"IP": (address(item))})).collect();
        let detail = "may specify no more than one IP for each IP family";
        errors.push(Error::invalid(path, Value::Array(shown), detail));
    }
    errors
}

fn host_addresses(pod: &Value, path: &Path) -> Errors {
    let all = pod.items_at(&["status", "hostIPs"]);
    let Some(first) = all.first() else { return Errors::new() };
    let first = first.str_at(&["ip"]).unwrap_or_default();
    let mut errors = Errors::new();
    if pod.str_at(&["status", "hostIP"]).unwrap_or_default() != first {
        errors.push(Error::invalid(&path.index(0).child("ip"), first, "must be equal to `hostIP`"));
    }
    errors.extend(addresses(all, path));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn the_old_address_follows_the_list() {
        let of = |status: Value| {
            let mut pod = Value::object();
            pod.set_at(&["status"], status);
            default(&mut pod);
            serde_json::to_string(pod.get("status").unwrap()).unwrap()
        };
        assert_eq!(
            of(value!({"podIPs": [{"ip": "10.0.0.1"}]})),
            r#"{"podIPs":[{"ip":"10.0.0.1"}],"podIP":"10.0.0.1"}"#
        );
        assert_eq!(of(value!({"podIP": "10.0.0.1"})), r#"{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"}]}"#);
        assert_eq!(
            of(value!({"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}]})),
            r#"{"podIP":"10.0.0.2","podIPs":[{"ip":"10.0.0.2"}]}"#
        );
    }

    #[test]
    fn one_address_a_family() {
        let pod = value!({"status": {"hostIP": "10.0.0.9", "hostIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}});
        expect_test::expect![[r#"[status.hostIPs[0].ip: Invalid value: "10.0.0.1": must be equal to `hostIP`, status.hostIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.1"}]: may specify no more than one IP for each IP family]"#]]
            .assert_eq(&field::aggregate(&validate(&pod, &pod)));
    }
}
