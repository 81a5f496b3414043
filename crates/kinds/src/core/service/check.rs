//! What is wrong with a Service.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names, value};

use super::{has_cluster_ip, is_externally_accessible, is_headless, is_unset, needs_health_check_port};
use crate::validate::{ip, metadata, non_special_ip, one_of, required, text};

const MAX_AFFINITY_SECONDS: i64 = 86_400;
/// The port of the kubelet: some clouds would take it away from the nodes.
const KUBELET_PORT: i64 = 10_250;

/// What is wrong with the spec.
pub(super) fn service(service: &Value) -> Errors {
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let kind = spec.str_at(&["type"]).unwrap_or_default();
    let mut errors = Errors::new();
    if spec.items_at(&["ports"]).is_empty() && !is_headless(service) && kind != "ExternalName" {
        errors.push(Error::required(&path.child("ports"), ""));
    }
    errors.extend(by_type(service, spec, kind, &path));
    errors.extend(ports(spec, &path.child("ports")));
    let selector = spec.get("selector").and_then(Value::as_object);
    errors.extend(metadata::labels(selector, &path.child("selector")));
    errors.extend(affinity(spec, &path));
    if kind != "ExternalName" {
        errors.extend(cluster_ips(spec, &path));
    }
    errors.extend(external_ips(spec, &path.child("externalIPs")));
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), ""));
    } else {
        errors.extend(one_of(kind, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], &path.child("type")));
    }
    errors.extend(node_ports(spec, kind, &path.child("ports")));
    errors.extend(balancer(spec, kind, &path));
    errors.extend(traffic(service, spec, &path));
    errors
}

/// What is wrong with the status.
pub(super) fn status(service: &Value) -> Errors {
    let path = Path::new("status.loadBalancer.ingress");
    let mut errors = Errors::new();
    for (i, point) in service.items_at(&["status", "loadBalancer", "ingress"]).iter().enumerate() {
        let path = path.index(i);
        let field = |name: &str| point.str_at(&[name]).filter(|text| !text.is_empty());
        if let Some(address) = field("ip") {
            errors.extend(ip(address, &path.child("ip")));
        }
        if let Some(mode) = field("ipMode") {
            if field("ip").is_none() {
                let detail = "may not be specified when `ip` is not set";
                errors.push(Error::forbidden(&path.child("ipMode"), detail));
            }
            errors.extend(one_of(mode, &["Proxy", "VIP"], &path.child("ipMode")));
        }
        if let Some(host) = field("hostname") {
            errors.extend(text(names::is_dns1123_subdomain, host, &path.child("hostname")));
            if names::parse_ip(host).is_some() {
                let detail = "must be a DNS name, not an IP address";
                errors.push(Error::invalid(&path.child("hostname"), host, detail));
            }
        }
    }
    errors
}

fn by_type(service: &Value, spec: &Value, kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let first_ip = path.child("clusterIPs").index(0);
    match kind {
        "LoadBalancer" | "NodePort" => {
            for (i, port) in spec.items_at(&["ports"]).iter().enumerate() {
                if kind == "LoadBalancer" && port.int_at(&["port"]) == Some(KUBELET_PORT) {
                    let detail = format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
                    errors.push(Error::invalid(&path.child("ports").index(i), KUBELET_PORT, detail));
                }
            }
            if is_headless(service) {
                let detail = format!("may not be set to 'None' for {kind} services");
                errors.push(Error::invalid(&first_ip, "None", detail));
            }
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !is_unset(spec, &[field]) {
                    let detail = "may not be set for ExternalName services";
                    errors.push(Error::forbidden(&path.child(field), detail));
                }
            }
            let name = spec.str_at(&["externalName"]).unwrap_or_default();
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.is_empty() {
                errors.push(Error::required(&path.child("externalName"), ""));
            } else {
                errors.extend(text(names::is_dns1123_subdomain, name, &path.child("externalName")));
            }
        }
        _ => {}
    }
    errors
}

fn ports(spec: &Value, path: &Path) -> Errors {
    let all = spec.items_at(&["ports"]);
    let mut errors = Errors::new();
    let mut used: Vec<&str> = Vec::new();
    for (i, port) in all.iter().enumerate() {
        let path = path.index(i);
        let name = port.str_at(&["name"]).unwrap_or_default();
        if name.is_empty() {
            errors.extend((all.len() > 1).then(|| Error::required(&path.child("name"), "")));
        } else {
            errors.extend(text(names::is_dns1123_label, name, &path.child("name")));
            if used.contains(&name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            used.push(name);
        }
        errors.extend(port_numbers(port, &path));
        if let Some(protocol) = port.str_at(&["appProtocol"]) {
            errors.extend(text(names::is_qualified_name, protocol, &path.child("appProtocol")));
        }
    }
    errors
}

fn port_numbers(port: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let number = port.int_at(&["port"]).unwrap_or_default();
    errors.extend(names::is_port(number).into_iter().map(|m| Error::invalid(&path.child("port"), number, m)));
    let protocol = port.str_at(&["protocol"]).unwrap_or_default();
    if protocol.is_empty() {
        errors.push(Error::required(&path.child("protocol"), ""));
    } else {
        errors.extend(one_of(protocol, &["SCTP", "TCP", "UDP"], &path.child("protocol")));
    }
    errors.extend(crate::validate::port_or_name(port.get("targetPort"), &path.child("targetPort")));
    errors
}

fn affinity(spec: &Value, path: &Path) -> Errors {
    let kind = spec.str_at(&["sessionAffinity"]).unwrap_or_default();
    let config = path.child("sessionAffinityConfig");
    let mut errors = Errors::new();
    if kind.is_empty() {
        errors.push(Error::required(&path.child("sessionAffinity"), ""));
    } else {
        errors.extend(one_of(kind, &["ClientIP", "None"], &path.child("sessionAffinity")));
    }
    match kind {
        "ClientIP" => {
            let path = config.child("clientIP.timeoutSeconds");
            match spec.int_at(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]) {
                None => errors.push(Error::required(&path, "when session affinity type is ClientIP")),
                Some(seconds) if seconds <= 0 || seconds > MAX_AFFINITY_SECONDS => {
                    let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
                    errors.push(Error::invalid(&path, seconds, detail));
                }
                Some(_) => {}
            }
        }
        "None" if !is_unset(spec, &["sessionAffinityConfig"]) => {
            errors.push(Error::forbidden(&config, "must not be set when session affinity is None"));
        }
        _ => {}
    }
    errors
}

fn cluster_ips(spec: &Value, path: &Path) -> Errors {
    let list = spec.items_at(&["clusterIPs"]);
    let first = spec.str_at(&["clusterIP"]).unwrap_or_default();
    let ips_path = path.child("clusterIPs");
    let all = || Value::Array(list.to_vec());
    let mut errors = Errors::new();
    match (first, list.first().and_then(Value::as_str)) {
        ("", Some(_)) => {
            errors.push(Error::invalid(&ips_path, all(), "must be empty when `clusterIP` is not specified"));
        }
        ("", None) => {}
        (_, None) => errors.push(Error::required(&ips_path, "")),
        (first, Some(listed)) if first != listed => {
            errors.push(Error::invalid(&ips_path, all(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    errors.extend(families(spec, path));
    if list.first().and_then(Value::as_str) == Some("None") {
        if list.len() > 1 {
            errors.push(Error::invalid(&ips_path, all(), "'None' must be the first and only value"));
        }
        return errors;
    }
    let before = errors.len();
    for (i, address) in list.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(ip(address, &ips_path.index(i)));
    }
    if errors.len() == before && list.len() > 2 {
        errors.push(Error::invalid(&ips_path, all(), "may only hold up to 2 values"));
    }
    errors
}

fn families(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(policy) = spec.str_at(&["ipFamilyPolicy"]) {
        let supported = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        errors.extend(one_of(policy, &supported, &path.child("ipFamilyPolicy")));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, family) in spec.items_at(&["ipFamilies"]).iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("ipFamilies").index(i);
        errors.extend(one_of(family, &["IPv4", "IPv6"], &path));
        if seen.contains(&family) {
            errors.push(Error::duplicate(&path, family));
        }
        seen.push(family);
    }
    errors
}

fn external_ips(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, address) in spec.items_at(&["externalIPs"]).iter().filter_map(Value::as_str).enumerate() {
        let wrong = ip(address, &path.index(i));
        errors.extend(if wrong.is_empty() { non_special_ip(address, &path.index(i)) } else { wrong });
    }
    errors
}

fn node_ports(spec: &Value, kind: &str, path: &Path) -> Errors {
    let all = spec.items_at(&["ports"]);
    let key = |port: &Value, field: &str| (port.str_at(&["protocol"]).map(ToOwned::to_owned), port.int_at(&[field]));
    let mut errors = Errors::new();
    for (i, port) in all.iter().enumerate() {
        if kind == "ClusterIP" && !is_unset(port, &["nodePort"]) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(Error::forbidden(&path.index(i).child("nodePort"), detail));
        }
    }
    for (i, port) in all.iter().enumerate().filter(|(_, port)| !is_unset(port, &["nodePort"])) {
        let mut earlier = all[..i].iter();
        if earlier.any(|other| key(other, "nodePort") == key(port, "nodePort")) {
            let number = port.int_at(&["nodePort"]).unwrap_or_default();
            errors.push(Error::duplicate(&path.index(i).child("nodePort"), number));
        }
    }
    for (i, port) in all.iter().enumerate() {
        if all[..i].iter().any(|other| key(other, "port") == key(port, "port")) {
            let protocol = port.str_at(&["protocol"]).unwrap_or_default();
            let number = port.int_at(&["port"]).unwrap_or_default();
            let shown = value!({
                "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0,
            });
            errors.push(Error::duplicate(&path.index(i), shown));
        }
    }
    errors
}

fn balancer(spec: &Value, kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let ranges = path.child("loadBalancerSourceRanges");
    for (i, range) in spec.items_at(&["loadBalancerSourceRanges"]).iter().filter_map(Value::as_str).enumerate() {
        if i == 0 && kind != "LoadBalancer" {
            errors.push(Error::forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'"));
        }
        errors.extend(crate::validate::cidr(range.trim(), &ranges.index(i)));
    }
    let ports = path.child("allocateLoadBalancerNodePorts");
    match (kind, spec.bool_at(&["allocateLoadBalancerNodePorts"])) {
        ("LoadBalancer", None) => errors.push(Error::required(&ports, "")),
        ("LoadBalancer", Some(_)) | (_, None) => {}
        (_, Some(_)) => errors.push(Error::forbidden(&ports, "may only be used when `type` is 'LoadBalancer'")),
    }
    if let Some(class) = spec.str_at(&["loadBalancerClass"]) {
        let path = path.child("loadBalancerClass");
        if kind == "LoadBalancer" {
            errors.extend(text(names::is_qualified_name, class, &path));
        } else {
            errors.push(Error::forbidden(&path, "may only be used when `type` is 'LoadBalancer'"));
        }
    }
    errors
}

fn traffic(service: &Value, spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let external = spec.str_at(&["externalTrafficPolicy"]).unwrap_or_default();
    let field = path.child("externalTrafficPolicy");
    if !is_externally_accessible(service) {
        if !external.is_empty() {
            let detail = "may only be set for externally-accessible services";
            errors.push(Error::invalid(&field, external, detail));
        }
    } else {
        errors.extend(required(Some(external), &field, ""));
        errors.extend(one_of(external, &["Cluster", "Local"], &field).filter(|_| !external.is_empty()));
    }
    let health = spec.int_at(&["healthCheckNodePort"]).unwrap_or_default();
    if !needs_health_check_port(service) && health != 0 {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(Error::invalid(&path.child("healthCheckNodePort"), health, detail));
    }
    if has_cluster_ip(service) {
        let field = path.child("internalTrafficPolicy");
        let internal = spec.str_at(&["internalTrafficPolicy"]);
        errors.extend(required(internal, &field, ""));
        errors.extend(internal.and_then(|policy| one_of(policy, &["Cluster", "Local"], &field)));
    }
    if let Some(distribution) = spec.str_at(&["trafficDistribution"]) {
        let supported = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        errors.extend(one_of(distribution, &supported, &path.child("trafficDistribution")));
    }
    errors
}
