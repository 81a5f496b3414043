//! What an update of a Service keeps, fills in and may not change.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::{check, has_cluster_ip, is_unset, needs_health_check_port, needs_node_ports};
use crate::Context;
use crate::kind::keep;

/// Fills in what was allocated, drops what the new type does not have.
pub(super) fn prepare(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep_allocated(new, old);
    drop_with_type(new, old);
    if is_unset(new, &["spec", "clusterIP"]) && new.at(&["spec", "clusterIPs"]) == old.at(&["spec", "clusterIPs"]) {
        new.remove_at(&["spec", "clusterIPs"]);
    }
    sync_cluster_ips(new);
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
    let mut errors = address_stays(new, old);
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

/// Fields that only the old type had go with it, unless the client changed them too.
fn drop_with_type(new: &mut Value, old: &Value) {
    let unchanged = |new: &Value, path: &[&str]| new.at(path) == old.at(path);
    if has_cluster_ip(old) && !has_cluster_ip(new) && unchanged(new, &["spec", "clusterIP"]) {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            new.remove_at(&["spec", field]);
        }
    }
    if needs_node_ports(old) && new.str_at(&["spec", "type"]) == Some("ClusterIP") {
        let before = old.items_at(&["spec", "ports"]).to_vec();
        let ports = new.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
        for (i, port) in ports.into_iter().flatten().enumerate() {
            if before.get(i).and_then(|p| p.get("nodePort")) == port.get("nodePort") {
                port.remove_at(&["nodePort"]);
            }
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

fn address_stays(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if !has_cluster_ip(new) || !has_cluster_ip(old) || is_unset(old, &["spec", "clusterIPs"]) {
        return errors;
    }
    let [new_ips, old_ips] = [new, old].map(|service| service.items_at(&["spec", "clusterIPs"]));
    if new_ips.first() != old_ips.first() {
        let path = Path::new("spec.clusterIPs").index(0);
        errors.push(Error::invalid(&path, Value::Array(new_ips.to_vec()), "may not change once set"));
    }
    errors
}
