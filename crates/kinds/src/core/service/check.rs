//! What is wrong with a Service.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use super::{has_cluster_ip, is_externally_accessible, is_headless, is_unset, needs_health_check_port};
use crate::validate::{ip, metadata, non_special_ip, one_of, required, text};

const MAX_AFFINITY_SECONDS: i64 = 86_400;
/// The old and the new annotation for hints about zones.
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
/// The annotation that came before `spec.loadBalancerSourceRanges`.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// What is wrong with the spec.
pub(super) fn service(service: &Value) -> Errors {
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let kind = spec.str_at(&["type"]).unwrap_or_default();
    let mut errors: Errors = topology_annotations(service).into_iter().collect();
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
    errors.extend(balancer(service, spec, kind, &path));
    errors.extend(traffic(service, spec, &path));
    errors
}

/// What is wrong with the status.
pub(super) fn status(service: &Value) -> Errors {
    let path = Path::new("status.loadBalancer.ingress");
    let mut errors = Errors::new();
    let points = service.items_at(&["status", "loadBalancer", "ingress"]);
    if !points.is_empty() && service.str_at(&["spec", "type"]) != Some("LoadBalancer") {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        return vec![Error::forbidden(&path, detail)];
    }
    for (i, point) in service.items_at(&["status", "loadBalancer", "ingress"]).iter().enumerate() {
        let path = path.index(i);
        let field = |name: &str| point.str_at(&[name]).filter(|text| !text.is_empty());
        if let Some(address) = field("ip") {
            errors.extend(ip(address, &path.child("ip")));
        }
        let mode_path = path.child("ipMode");
        match (point.str_at(&["ipMode"]), field("ip")) {
            (Some(_), None) => errors.push(Error::forbidden(&mode_path, "may not be specified when `ip` is not set")),
            (Some(mode), Some(_)) => errors.extend(one_of(mode, &["Proxy", "VIP"], &mode_path)),
            (None, _) => {}
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
        "LoadBalancer" | "NodePort" if is_headless(service) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(Error::invalid(&first_ip, "None", detail));
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

fn topology_annotations(service: &Value) -> Option<Error> {
    let (hints, mode) = (meta::annotation(service, TOPOLOGY_HINTS)?, meta::annotation(service, TOPOLOGY_MODE)?);
    let path = Path::new("metadata.annotations").key(TOPOLOGY_MODE);
    let detail = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
    (hints != mode).then(|| Error::invalid(&path, mode, detail))
}

/// What is wrong with the addresses and their families.
pub(super) fn cluster_ips(spec: &Value, path: &Path) -> Errors {
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
    let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    let mut wrong = Errors::new();
    if texts.first() == Some(&"None") && texts.len() > 1 {
        wrong.push(Error::invalid(&ips_path, all(), "'None' must be the first and only value"));
    }
    for (i, address) in texts.iter().enumerate().filter(|(i, text)| *i > 0 || **text != "None") {
        wrong.extend(ip(address, &ips_path.index(i)));
    }
    let stop = !wrong.is_empty();
    errors.extend(wrong);
    if texts.len() > 2 {
        errors.push(Error::invalid(&ips_path, all(), "may only hold up to 2 values"));
    }
    if !stop {
        errors.extend(address_families(spec, &texts, &ips_path));
    }
    errors
}

/// One address of each family, in the order of the families.
fn address_families(spec: &Value, texts: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let is_six = |text: &str| names::parse_ip(text).is_some_and(|ip| ip.is_ipv6());
    let both = texts.iter().any(|text| is_six(text)) && texts.iter().any(|text| !is_six(text));
    if texts.len() > 1 && !both {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(Error::invalid(path, Value::from(texts.to_vec()), detail));
    }
    let families = spec.items_at(&["ipFamilies"]).iter().filter_map(Value::as_str);
    for (i, (text, family)) in texts.iter().zip(families).enumerate().filter(|(_, (text, _))| **text != "None") {
        let wrong = match family {
            "IPv4" => is_six(text),
            "IPv6" => !is_six(text),
            _ => false,
        };
        if wrong {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(Error::invalid(&path.index(i), *text, detail));
        }
    }
    errors
}

fn families(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen: Vec<&str> = Vec::new();
    for (i, family) in spec.items_at(&["ipFamilies"]).iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("ipFamilies").index(i);
        errors.extend(one_of(family, &["IPv4", "IPv6"], &path));
        if seen.contains(&family) {
            errors.push(Error::duplicate(&path, family));
        }
        seen.push(family);
    }
    if let Some(policy) = spec.str_at(&["ipFamilyPolicy"]) {
        let supported = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        errors.extend(one_of(policy, &supported, &path.child("ipFamilyPolicy")));
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

fn balancer(service: &Value, spec: &Value, kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let ranges = path.child("LoadBalancerSourceRanges");
    let other_type = "may only be used when `type` is 'LoadBalancer'";
    let given = spec.items_at(&["loadBalancerSourceRanges"]);
    if !given.is_empty() {
        if kind != "LoadBalancer" {
            errors.push(Error::forbidden(&ranges, other_type));
        }
        for (i, range) in given.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(crate::validate::cidr(range.trim(), &ranges.index(i)));
        }
    } else if let Some(list) = meta::annotation(service, SOURCE_RANGES) {
        let path = Path::new("metadata.annotations").key(SOURCE_RANGES);
        if kind != "LoadBalancer" {
            errors.push(Error::forbidden(&path, other_type));
        }
        let parts = list.split(',').map(str::trim).filter(|_| !list.trim().is_empty());
        errors.extend(parts.filter_map(|range| crate::validate::cidr(range, &path)));
    }
    let ports = path.child("allocateLoadBalancerNodePorts");
    match (kind, spec.bool_at(&["allocateLoadBalancerNodePorts"])) {
        ("LoadBalancer", None) => errors.push(Error::required(&ports, "")),
        ("LoadBalancer", Some(_)) | (_, None) => {}
        (_, Some(_)) => errors.push(Error::forbidden(&ports, "may only be used when `type` is 'LoadBalancer'")),
    }
    errors.extend(balancer_class(service));
    errors
}

/// What is wrong with the class of the load balancer.
pub(super) fn balancer_class(service: &Value) -> Errors {
    let Some(class) = service.str_at(&["spec", "loadBalancerClass"]) else { return Errors::new() };
    let path = Path::new("spec.loadBalancerClass");
    if service.str_at(&["spec", "type"]) == Some("LoadBalancer") {
        return text(names::is_qualified_name, class, &path).collect();
    }
    vec![Error::forbidden(&path, "may only be used when `type` is 'LoadBalancer'")]
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
    let field = path.child("internalTrafficPolicy");
    let internal = spec.str_at(&["internalTrafficPolicy"]);
    errors.extend((internal.is_none() && has_cluster_ip(service)).then(|| Error::required(&field, "")));
    errors.extend(internal.and_then(|policy| one_of(policy, &["Cluster", "Local"], &field)));
    if let Some(distribution) = spec.str_at(&["trafficDistribution"]) {
        let supported = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        errors.extend(one_of(distribution, &supported, &path.child("trafficDistribution")));
    }
    errors
}
