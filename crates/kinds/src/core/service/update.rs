//! What an update of a Service keeps, fills in and may not change.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::{check, has_cluster_ip, is_headless, is_unset, needs_health_check_port, needs_node_ports};
use crate::Context;
use crate::kind::keep;

/// Fills in what was allocated, drops what the new type does not have.
pub(super) fn prepare(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep_allocated(new, old);
    drop_with_type(new, old);
    follow_cluster_ip(new, old);
    sync_cluster_ips(new);
}

/// A client that knows the old field only changed or cleared it: the list follows.
fn follow_cluster_ip(new: &mut Value, old: &Value) {
    let (one, list) = (["spec", "clusterIP"], ["spec", "clusterIPs"]);
    if new.at(&list) != old.at(&list) || (new.at(&one) == old.at(&one) && !is_unset(new, &one)) {
        return;
    }
    if is_unset(new, &one) {
        new.remove_at(&list);
        return;
    }
    let (address, mut addresses) = (new.at(&one).cloned().unwrap_or_default(), new.items_at(&list).to_vec());
    if let Some(first) = addresses.first_mut() {
        *first = address;
    }
    if !addresses.is_empty() {
        new.set_at(&list, Value::Array(addresses));
    }
}

/// One address, given in the old field only, is the first of the list.
pub(super) fn sync_cluster_ips(service: &mut Value) {
    if is_unset(service, &["spec", "clusterIPs"])
        && let Some(ip) = service.str_at(&["spec", "clusterIP"]).filter(|ip| !ip.is_empty()).map(ToOwned::to_owned)
    {
        service.set_at(&["spec", "clusterIPs"], vec![ip]);
    }
}

/// What is wrong with a changed Service.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let mut errors = addresses_stay(new, old);
    errors.extend(families_stay(new, old));
    let is_balancer = |service: &Value| service.str_at(&["spec", "type"]) == Some("LoadBalancer");
    let class = |service: &Value| service.str_at(&["spec", "loadBalancerClass"]).map(str::to_owned);
    if is_balancer(new) && is_balancer(old) && class(new) != class(old) {
        let path = Path::new("spec.loadBalancerClass");
        errors.push(Error::invalid(&path, class(new), "may not change once set"));
    }
    errors.extend(check::balancer_class(new));
    let health = |service: &Value| service.int_at(&["spec", "healthCheckNodePort"]);
    if needs_health_check_port(new) && needs_health_check_port(old) && health(new) != health(old) {
        errors.push(Error::forbidden(&Path::new("spec.healthCheckNodePort"), "field is immutable"));
    }
    errors.extend(check::service(new));
    errors
}

fn keep_allocated(new: &mut Value, old: &Value) {
    if has_cluster_ip(new) && has_cluster_ip(old) {
        if is_unset(new, &["spec", "clusterIP"]) && !is_unset(old, &["spec", "clusterIP"]) {
            keep(new, old, &["spec", "clusterIP"]);
        }
        let same = new.at(&["spec", "clusterIP"]) == old.at(&["spec", "clusterIP"]);
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if same && is_unset(new, &["spec", field]) {
                keep(new, old, &["spec", field]);
            }
        }
    }
    if needs_node_ports(new) && needs_node_ports(old) {
        keep_node_ports(new, old);
    }
    if needs_health_check_port(new) && needs_health_check_port(old) && is_unset(new, &["spec", "healthCheckNodePort"]) {
        keep(new, old, &["spec", "healthCheckNodePort"]);
    }
}

fn keep_node_ports(new: &mut Value, old: &Value) {
    let key = |port: &Value| (port.str_at(&["protocol"]).map(ToOwned::to_owned), port.int_at(&["port"]));
    let node_port = |port: &Value| port.int_at(&["nodePort"]).filter(|n| *n != 0);
    let ports = new.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    let Some(ports) = ports else { return };
    let mut used: Vec<i64> = ports.iter().filter_map(node_port).collect();
    for port in ports.iter_mut().filter(|port| node_port(port).is_none()) {
        let before = old.items_at(&["spec", "ports"]).iter().find(|before| key(before) == key(port));
        if let Some(number) = before.and_then(node_port).filter(|number| !used.contains(number)) {
            port.set_at(&["nodePort"], number);
            used.push(number);
        }
    }
}

/// Whether no port has a node port that the old service did not have.
fn same_node_ports(new: &Value, old: &Value) -> bool {
    let all = |service: &Value| -> Vec<i64> {
        let ports = service.items_at(&["spec", "ports"]).iter();
        ports.filter_map(|port| port.int_at(&["nodePort"]).filter(|number| *number != 0)).collect()
    };
    let before = all(old);
    all(new).iter().all(|number| before.contains(number))
}

/// Fields that only the old type had go with it, unless the client changed them too.
fn drop_with_type(new: &mut Value, old: &Value) {
    let unchanged = |new: &Value, path: &[&str]| new.at(path) == old.at(path);
    if has_cluster_ip(old) && !has_cluster_ip(new) {
        if unchanged(new, &["spec", "clusterIP"]) {
            new.remove_at(&["spec", "clusterIP"]);
            new.remove_at(&["spec", "clusterIPs"]);
        }
        for field in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if unchanged(new, &["spec", field]) {
                new.remove_at(&["spec", field]);
            }
        }
    }
    if needs_node_ports(old) && !needs_node_ports(new) && same_node_ports(new, old) {
        let ports = new.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten() {
            port.remove_at(&["nodePort"]);
        }
    }
    let is_balancer = |service: &Value| service.str_at(&["spec", "type"]) == Some("LoadBalancer");
    if is_balancer(old) && !is_balancer(new) {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(new, &["spec", field]) {
                new.remove_at(&["spec", field]);
            }
        }
    }
    if needs_health_check_port(old) && !needs_health_check_port(new) && unchanged(new, &["spec", "healthCheckNodePort"])
    {
        new.remove_at(&["spec", "healthCheckNodePort"]);
    }
    if super::is_externally_accessible(old)
        && !super::is_externally_accessible(new)
        && unchanged(new, &["spec", "externalTrafficPolicy"])
    {
        new.remove_at(&["spec", "externalTrafficPolicy"]);
    }
}

/// The first address stays; a second one may come, and go when the policy says so.
fn addresses_stay(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if is_external(new) || is_external(old) || (is_headless(new) && is_headless(old)) {
        return errors;
    }
    let path = Path::new("spec.clusterIPs");
    let [after, before] = [new, old].map(|service| service.items_at(&["spec", "clusterIPs"]));
    let shown = || Value::Array(after.to_vec());
    let once_set = |i: usize| Error::invalid(&path.index(i), shown(), "may not change once set");
    if before.len() == after.len() {
        return (0..before.len()).filter(|i| before[*i] != after[*i]).map(once_set).collect();
    }
    if before.len() > after.len() && after.is_empty() {
        errors.push(Error::invalid(&path.index(0), shown(), "primary clusterIP can not be unset"));
    } else if !before.is_empty() && before.first() != after.first() {
        errors.push(once_set(0));
    }
    if before.len() > after.len() && after.len() == 1 {
        errors.extend(single_stack(new, "must be set to 'SingleStack' when releasing the secondary clusterIP"));
    }
    errors
}

/// The same of the families; headless services may change theirs.
fn families_stay(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if is_external(new) || is_external(old) || is_headless(new) || is_headless(old) {
        return errors;
    }
    let path = Path::new("spec.ipFamilies").index(0);
    let [after, before] = [new, old].map(|service| service.items_at(&["spec", "ipFamilies"]));
    let shown = |field: &str| new.at(&["spec", field]).cloned();
    let once_set = "may not change once set";
    if before.len() == after.len() {
        let changed = before.iter().zip(after).filter(|(before, after)| before != after);
        return changed.map(|_| Error::invalid(&path, shown("ipFamilies"), once_set)).collect();
    }
    if before.len() > after.len() && new.items_at(&["spec", "clusterIPs"]).is_empty() {
        errors.push(Error::invalid(&path, shown("ipFamilies"), "primary ipFamily can not be unset"));
    }
    if !before.is_empty() && !after.is_empty() && before.first() != after.first() {
        errors.push(Error::invalid(&path, shown("clusterIPs"), once_set));
    }
    if before.len() > after.len() && after.len() == 1 {
        errors.extend(single_stack(new, "must be set to 'SingleStack' when releasing the secondary ipFamily"));
    }
    errors
}

fn single_stack(service: &Value, detail: &str) -> Option<Error> {
    let policy = service.str_at(&["spec", "ipFamilyPolicy"]);
    (policy != Some("SingleStack")).then(|| Error::invalid(&Path::new("spec.ipFamilyPolicy"), policy, detail))
}

fn is_external(service: &Value) -> bool {
    service.str_at(&["spec", "type"]) == Some("ExternalName")
}
