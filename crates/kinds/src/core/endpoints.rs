//! Endpoints: the addresses behind a Service (superseded by EndpointSlice, still served).

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Kind, MetadataChecks, Writes};
use crate::pod_spec::default::{each, set_in};
use crate::table::{AGE, Describe, NAME, age, text};
use crate::validate::{ip, non_special_ip, one_of, required};

const ENDPOINTS: &str = "io.k8s.api.core.v1.Endpoints";
/// So many addresses fit a table's cell.
const SHOWN_ENDPOINTS: usize = 3;

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Endpoints",
    plural: "endpoints",
    short_names: &["ep"],
    storage: "services/endpoints",
    schema: ENDPOINTS,
    columns: &[NAME, text("Endpoints", Describe::Field(ENDPOINTS, "subsets")), AGE],
    row,
    writes: Writes { create_on_update: true, unconditional: true },
    default: |endpoints| {
        each(endpoints, &["subsets"], |subset| {
            each(subset, &["ports"], |port| set_in(port, &[], "protocol", || "TCP".into()));
        });
    },
    validate,
    validate_update: |new, _| validate(new),
    warnings: |_, _| vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()],
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::name(endpoints).into(), addresses(endpoints).into(), age(endpoints, now)]
}

fn addresses(endpoints: &Value) -> String {
    let mut all = Vec::new();
    for subset in endpoints.items_at(&["subsets"]) {
        let ports = subset.items_at(&["ports"]);
        let ips = subset.items_at(&["addresses"]).iter().filter_map(|a| a.str_at(&["ip"]));
        if ports.is_empty() {
            all.extend(ips.map(ToOwned::to_owned));
            continue;
        }
        let ips: Vec<&str> = ips.collect();
        for port in ports.iter().map(|port| port.int_at(&["port"]).unwrap_or_default()) {
            all.extend(
                ips.iter().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    match all.len() {
        0 => "<none>".to_owned(),
        n if n > SHOWN_ENDPOINTS => format!("{} + {} more...", all[..SHOWN_ENDPOINTS].join(","), n - SHOWN_ENDPOINTS),
        _ => all.join(","),
    }
}

fn validate(endpoints: &Value) -> Errors {
    let subsets = endpoints.items_at(&["subsets"]).iter().enumerate();
    subsets.flat_map(|(i, subset)| self::subset(subset, &Path::new("subsets").index(i))).collect()
}

fn subset(subset: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let [ready, not_ready] = ["addresses", "notReadyAddresses"].map(|field| (field, subset.items_at(&[field])));
    if ready.1.is_empty() && not_ready.1.is_empty() {
        errors.push(Error::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (field, addresses) in [ready, not_ready] {
        for (i, address) in addresses.iter().enumerate() {
            errors.extend(self::address(address, &path.child(field).index(i)));
        }
    }
    let ports = subset.items_at(&["ports"]);
    for (i, port) in ports.iter().enumerate() {
        errors.extend(self::port(port, ports.len() > 1, &path.child("ports").index(i)));
    }
    errors
}

fn address(address: &Value, path: &Path) -> Errors {
    let value = address.str_at(&["ip"]).unwrap_or_default();
    let mut errors = ip(value, &path.child("ip"));
    if let Some(host) = address.str_at(&["hostname"]).filter(|host| !host.is_empty()) {
        errors.extend(crate::validate::text(names::is_dns1123_label, host, &path.child("hostname")));
    }
    if let Some(node) = address.str_at(&["nodeName"]) {
        errors.extend(crate::validate::text(names::is_dns1123_subdomain, node, &path.child("nodeName")));
    }
    errors.extend(non_special_ip(value, &path.child("ip")));
    errors
}

fn port(port: &Value, needs_name: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let name = port.str_at(&["name"]).unwrap_or_default();
    if name.is_empty() {
        errors.extend(required(needs_name.then_some(""), &path.child("name"), "").filter(|_| needs_name));
    } else {
        errors.extend(crate::validate::text(names::is_dns1123_label, name, &path.child("name")));
    }
    let number = port.int_at(&["port"]).unwrap_or_default();
    errors.extend(names::is_port(number).into_iter().map(|m| Error::invalid(&path.child("port"), number, m)));
    let protocol = port.str_at(&["protocol"]).unwrap_or_default();
    if protocol.is_empty() {
        errors.push(Error::required(&path.child("protocol"), ""));
    } else {
        errors.extend(one_of(protocol, &["SCTP", "TCP", "UDP"], &path.child("protocol")));
    }
    if let Some(protocol) = port.str_at(&["appProtocol"]) {
        errors.extend(crate::validate::text(names::is_qualified_name, protocol, &path.child("appProtocol")));
    }
    errors
}
