//! What is wrong with a pod spec, in upstream's order.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use crate::validate::{ip, metadata, one_of, text};

pub mod containers;
mod env;
mod env_file;
mod mounts;
mod os;
mod pod_resources;
mod probes;
mod scheduling;
mod security;
mod vendor_volumes;
mod volumes;
mod windows;

pub use scheduling::{gates_update, shown_toleration, toleration_list};
pub use vendor_volumes::Owner;
pub use volumes::one as volume_source;

/// Limits of the C library's resolver.
const MAX_HOSTNAME_BYTES: usize = 64;
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;

/// What is wrong with the spec of a pod, which is given too, or of a template.
#[must_use]
pub fn pod_spec(spec: &Value, pod: Option<&Value>, path: &Path) -> Errors {
    let (volumes, mut errors) = volumes::volumes(spec, pod, &path.child("volumes"));
    errors.extend(pod_resources::claims(spec, pod, &path.child("resourceClaims")));
    errors.extend(containers::all(spec, &volumes, path));
    errors.extend(pod_resources::check(spec, &path.child("resources")));
    errors.extend(containers::host_network_ports(spec, pod.is_some(), path));
    errors.extend(policies(spec, path));
    let node_selector = spec.get("nodeSelector").and_then(Value::as_object);
    errors.extend(metadata::labels(node_selector, &path.child("nodeSelector")));
    errors.extend(security::pod(spec, path));
    errors.extend(scheduling::affinity(spec.get("affinity"), &path.child("affinity")));
    errors.extend(dns_config(spec, &path.child("dnsConfig")));
    errors.extend(readiness_gates(spec, path));
    errors.extend(scheduling::gates(spec, path));
    let constraints = spec.items_at(&["topologySpreadConstraints"]);
    errors.extend(scheduling::topology(constraints, &path.child("topologySpreadConstraints")));
    errors.extend(os::host_process(spec, path));
    errors.extend(security::host_users(spec, path));
    errors.extend(hostname_override(spec, &path.child("hostnameOverride")));
    errors.extend(named(spec, path));
    errors.extend(scheduling::toleration_list(spec.items_at(&["tolerations"]), &path.child("tolerations")));
    errors.extend(host_aliases(spec.items_at(&["hostAliases"]), &path.child("hostAliases")));
    errors.extend(classes(spec, path));
    errors.extend(os::check(spec, path));
    errors.extend(env_file::volumes(spec, path));
    errors
}

/// A host name that needs no fitting into DNS (KEP-4762).
fn hostname_override(spec: &Value, path: &Path) -> Errors {
    let Some(name) = spec.str_at(&["hostnameOverride"]) else { return Errors::new() };
    let mut errors = Errors::new();
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.bool_at(&[field]) == Some(true) {
            errors.push(Error::forbidden(path, format!("may not be specified when {field} is true")));
        }
    }
    if name.len() > MAX_HOSTNAME_BYTES {
        errors.push(Error::too_long(path, MAX_HOSTNAME_BYTES));
    }
    errors.extend(text(names::is_dns1123_subdomain, name, path));
    errors
}

/// The text at `field` if it is not empty.
fn filled<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.str_at(&[field]).filter(|text| !text.is_empty())
}

fn policies(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut check = |field: &str, supported: &[&str]| match filled(spec, field) {
        None => errors.push(Error::required(&path.child(field), "")),
        Some(policy) => errors.extend(one_of(policy, supported, &path.child(field))),
    };
    check("restartPolicy", &["Always", "OnFailure", "Never"]);
    check("dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    errors
}

fn dns_config(spec: &Value, path: &Path) -> Errors {
    let none = filled(spec, "dnsPolicy") == Some("None");
    let Some(config) = spec.get("dnsConfig").filter(|config| !config.is_null()) else {
        let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
        return none.then(|| Error::required(path, detail)).into_iter().collect();
    };
    let mut errors = Errors::new();
    let servers = config.items_at(&["nameservers"]);
    let field = path.child("nameservers");
    if none && servers.is_empty() {
        return vec![Error::required(&field, "must provide at least one DNS nameserver when `dnsPolicy` is None")];
    }
    if servers.len() > MAX_NAMESERVERS {
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.push(Error::invalid(&field, Value::Array(servers.to_vec()), detail));
    }
    for (i, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(ip(server, &field.index(i)));
    }
    let field = path.child("searches");
    let searches: Vec<&str> = config.items_at(&["searches"]).iter().filter_map(Value::as_str).collect();
    if searches.len() > MAX_SEARCHES {
        let detail = format!("must not have more than {MAX_SEARCHES} search paths");
        errors.push(Error::invalid(&field, Value::from(searches.clone()), detail));
    }
    if searches.join(" ").len() > MAX_SEARCH_BYTES {
        let detail =
            format!("must not have more than {MAX_SEARCH_BYTES} characters (including spaces) in the search list");
        errors.push(Error::invalid(&field, Value::from(searches.clone()), detail));
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, search)| **search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        errors.extend(text(names::is_dns1123_subdomain_with_underscore, search, &path.child("searches").index(i)));
    }
    for (i, option) in config.items_at(&["options"]).iter().enumerate() {
        if filled(option, "name").is_none() {
            errors.push(Error::required(&path.child("options").index(i), "must not be empty"));
        }
    }
    errors
}

fn readiness_gates(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, gate) in spec.items_at(&["readinessGates"]).iter().enumerate() {
        let kind = gate.str_at(&["conditionType"]).unwrap_or_default();
        let path = path.child("readinessGates").index(i).child("conditionType");
        errors.extend(text(names::is_qualified_name, kind, &path));
    }
    errors
}

fn named(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["serviceAccountName", "nodeName"] {
        let value = filled(spec, field);
        errors.extend(
            value
                .into_iter()
                .flat_map(|v| text(names::is_dns1123_subdomain, v, &path.child(field)).collect::<Errors>()),
        );
    }
    if let Some(seconds) = spec.int_at(&["activeDeadlineSeconds"]).filter(|s| !(1..=i64::from(i32::MAX)).contains(s)) {
        let detail = names::inclusive_range(1, i32::MAX.into());
        errors.push(Error::invalid(&path.child("activeDeadlineSeconds"), seconds, detail));
    }
    for field in ["hostname", "subdomain"] {
        let value = filled(spec, field);
        errors.extend(
            value.into_iter().flat_map(|v| text(names::is_dns1123_label, v, &path.child(field)).collect::<Errors>()),
        );
    }
    errors
}

fn host_aliases(aliases: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, alias) in aliases.iter().enumerate() {
        let path = path.index(i);
        errors.extend(ip(alias.str_at(&["ip"]).unwrap_or_default(), &path.child("ip")));
        for (j, name) in alias.items_at(&["hostnames"]).iter().filter_map(Value::as_str).enumerate() {
            errors.extend(text(names::is_dns1123_subdomain, name, &path.child("hostnames").index(j)));
        }
    }
    errors
}

fn classes(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let classes = [
        ("priorityClassName", filled(spec, "priorityClassName")),
        ("runtimeClassName", spec.str_at(&["runtimeClassName"])),
    ];
    for (field, class) in classes {
        let field = path.child(field);
        errors.extend(class.into_iter().flat_map(|c| text(names::is_dns1123_subdomain, c, &field).collect::<Errors>()));
    }
    let (policy, field) = (spec.str_at(&["preemptionPolicy"]), path.child("preemptionPolicy"));
    match policy {
        None => {}
        Some("") => errors.push(Error::required(&field, "")),
        Some(policy) => errors.extend(one_of(policy, &["PreemptLowerPriority", "Never"], &field)),
    }
    for (name, amount) in metadata::sorted(spec.get("overhead").and_then(Value::as_object)) {
        let path = path.child("overhead.limits").key(name);
        errors.extend(crate::validate::resources::container_resource(name, amount, &path));
    }
    errors
}
