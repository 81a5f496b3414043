//! Service: one name and address for a set of pods.

use jiff::Timestamp;
use machinery::{Value, labels, meta, names};

use crate::kind::{BASE, Context, Kind, NameRule, STATUS, SUBRESOURCE, Subresource, keep, selectable};
use crate::pod_spec::default::{each, set_absent, set_in};
use crate::table::{AGE, Describe, NAME, age, str, text};

mod check;
mod update;
mod warnings;

const SPEC: &str = "io.k8s.api.core.v1.ServiceSpec";
/// Three hours.
const AFFINITY_TIMEOUT_SECONDS: i64 = 10_800;

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Service",
    plural: "services",
    short_names: &["svc"],
    categories: &["all"],
    storage: "services/specs",
    schema: "io.k8s.api.core.v1.Service",
    verbs: crate::kind::ALL_VERBS,
    subresources: &[
        Subresource {
            name: "proxy",
            body: ("", "v1", "ServiceProxyOptions"),
            verbs: &["create", "delete", "get", "patch", "update"],
            ..SUBRESOURCE
        },
        Subresource {
            prepare: |new, old, _| keep(new, old, &["spec"]),
            validate: |new, _| check::status(new),
            ..STATUS
        },
    ],
    columns: &[
        NAME,
        text("Type", Describe::Field(SPEC, "type")),
        text("Cluster-IP", Describe::Field(SPEC, "clusterIP")),
        text("External-IP", Describe::Field(SPEC, "externalIPs")),
        text("Port(s)", Describe::Field(SPEC, "ports")),
        AGE,
        text("Selector", Describe::Field(SPEC, "selector")).wide(),
    ],
    row,
    selectable: selectable!["metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"],
    // Names may begin with a digit (KEP-5311).
    name: NameRule::Text(names::is_dns1123_label),
    default,
    prepare_create,
    prepare_update: update::prepare,
    validate: check::service,
    validate_update: update::validate,
    warnings: warnings::warnings,
    ..BASE
};

fn row(service: &Value, now: Timestamp) -> Vec<Value> {
    let cluster_ip = service.items_at(&["spec", "clusterIPs"]).first().cloned().unwrap_or_else(|| "<none>".into());
    vec![
        meta::name(service).into(),
        str(service, &["spec", "type"]),
        cluster_ip,
        external_ip(service).into(),
        ports(service).into(),
        age(service, now),
        labels::format_labels(service.at(&["spec", "selector"]).and_then(Value::as_object)).into(),
    ]
}

fn external_ip(service: &Value) -> String {
    let external: Vec<&str> = service.items_at(&["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    match service.str_at(&["spec", "type"]).unwrap_or_default() {
        "ExternalName" => service.str_at(&["spec", "externalName"]).unwrap_or_default().to_owned(),
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let all: Vec<&str> = ingress(service).into_iter().chain(external).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => "<unknown>".to_owned(),
    }
}

fn ingress(service: &Value) -> Vec<&str> {
    let points = service.items_at(&["status", "loadBalancer", "ingress"]).iter();
    let mut all: Vec<&str> = points
        .filter_map(|point| ["ip", "hostname"].into_iter().filter_map(|f| point.str_at(&[f])).find(|t| !t.is_empty()))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn ports(service: &Value) -> String {
    let shown: Vec<String> = service
        .items_at(&["spec", "ports"])
        .iter()
        .map(|port| {
            let number = port.int_at(&["port"]).unwrap_or_default();
            let protocol = port.str_at(&["protocol"]).unwrap_or_default();
            match port.int_at(&["nodePort"]).unwrap_or_default() {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    if shown.is_empty() { "<none>".to_owned() } else { shown.join(",") }
}

fn default(service: &mut Value) {
    set_in(service, &["spec"], "sessionAffinity", || "None".into());
    set_in(service, &["spec"], "type", || "ClusterIP".into());
    match service.str_at(&["spec", "sessionAffinity"]) {
        Some("None") => drop(service.remove_at(&["spec", "sessionAffinityConfig"])),
        Some("ClientIP") => {
            let path = ["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"];
            if service.int_at(&path).is_none() {
                service.set_at(&path, AFFINITY_TIMEOUT_SECONDS);
            }
        }
        _ => {}
    }
    each(service, &["spec", "ports"], port);
    if is_externally_accessible(service) {
        set_in(service, &["spec"], "externalTrafficPolicy", || "Cluster".into());
    }
    if has_cluster_ip(service) {
        set_absent(service, &["spec"], "internalTrafficPolicy", || "Cluster".into());
    }
    if service.str_at(&["spec", "type"]) == Some("LoadBalancer") {
        set_in(service, &["spec"], "allocateLoadBalancerNodePorts", || Value::Bool(true));
        each(service, &["status", "loadBalancer", "ingress"], |point| {
            if point.str_at(&["ip"]).is_some_and(|ip| !ip.is_empty()) {
                set_absent(point, &[], "ipMode", || "VIP".into());
            }
        });
    }
}

fn port(port: &mut Value) {
    set_in(port, &[], "protocol", || "TCP".into());
    let unset = match port.get("targetPort") {
        None | Some(Value::Null | Value::Int(0)) => true,
        Some(Value::String(name)) => name.is_empty(),
        Some(_) => false,
    };
    if unset && let Some(number) = port.int_at(&["port"]) {
        port.set_at(&["targetPort"], number);
    }
}

fn prepare_create(service: &mut Value, _: &Context<'_>) {
    service.set_at(&["status"], machinery::value!({"loadBalancer": {}}));
    update::sync_cluster_ips(service);
}

/// Whether the type has an address of the cluster: all but `ExternalName`.
#[must_use]
pub fn has_cluster_ip(service: &Value) -> bool {
    matches!(service.str_at(&["spec", "type"]), Some("ClusterIP" | "NodePort" | "LoadBalancer"))
}

/// Whether the service has no address of its own.
#[must_use]
pub fn is_headless(service: &Value) -> bool {
    matches!(service.items_at(&["spec", "clusterIPs"]), [one] if one.as_str() == Some("None"))
        || service.str_at(&["spec", "clusterIP"]) == Some("None")
}

/// Whether traffic from outside the cluster can reach the service.
#[must_use]
pub fn is_externally_accessible(service: &Value) -> bool {
    match service.str_at(&["spec", "type"]) {
        Some("LoadBalancer" | "NodePort") => true,
        Some("ClusterIP") => !service.items_at(&["spec", "externalIPs"]).is_empty(),
        _ => false,
    }
}

/// Whether a load balancer asks nodes for their health: then the service has a port for that.
#[must_use]
pub fn needs_health_check_port(service: &Value) -> bool {
    service.str_at(&["spec", "type"]) == Some("LoadBalancer")
        && service.str_at(&["spec", "externalTrafficPolicy"]) == Some("Local")
}

/// Whether the type gives ports on every node.
#[must_use]
pub fn needs_node_ports(service: &Value) -> bool {
    match service.str_at(&["spec", "type"]) {
        Some("NodePort") => true,
        Some("LoadBalancer") => service.bool_at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(false),
        _ => false,
    }
}

fn is_unset(object: &Value, path: &[&str]) -> bool {
    match object.at(path) {
        None | Some(Value::Null | Value::Int(0)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(_) => false,
    }
}
