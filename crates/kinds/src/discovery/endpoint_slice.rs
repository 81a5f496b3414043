//! EndpointSlice: some of the addresses behind a service.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Context, Generation, Kind, MetadataChecks};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::{non_special_ip, one_of_if_set};

const SCHEMA: &str = "io.k8s.api.discovery.v1.EndpointSlice";
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_HINTS: usize = 8;
/// The complaints about a name.
type Check = fn(&str) -> Vec<String>;
/// Whom an endpoint is meant for, and what their names look like.
const HINTS: [(&str, Check); 2] = [("forZones", names::is_label_value), ("forNodes", names::is_dns1123_subdomain)];
/// So many items of a list are shown in a cell.
const SHOWN: usize = 3;

/// The kind.
pub static KIND: Kind = Kind {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    plural: "endpointslices",
    storage: "endpointslices",
    schema: SCHEMA,
    columns: &[
        NAME,
        text("AddressType", Describe::Field(SCHEMA, "addressType")),
        text("Ports", Describe::Field(SCHEMA, "ports")),
        text("Endpoints", Describe::Field(SCHEMA, "endpoints")),
        AGE,
    ],
    row,
    generation: Generation::One,
    default,
    prepare_update,
    validate: check,
    validate_update: check_update,
    metadata: MetadataChecks::NEW,
    ..BASE
};

fn row(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports = slice.items_at(&["ports"]).iter().map(|port| match (port.int_at(&["port"]), port.str_at(&["name"])) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) if !name.is_empty() => name.to_owned(),
        _ => "*".to_owned(),
    });
    let endpoints = slice.items_at(&["endpoints"]).iter().flat_map(|endpoint| endpoint.items_at(&["addresses"]));
    let addresses = endpoints.filter_map(|address| address.as_str().map(str::to_owned));
    vec![
        meta::name(slice).into(),
        str(slice, &["addressType"]),
        shortened(ports.collect()),
        shortened(addresses.collect()),
        age(slice, now),
    ]
}

/// The first items, and how many more there are.
fn shortened(items: Vec<String>) -> Value {
    if items.is_empty() {
        return "<unset>".into();
    }
    let shown = items.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    if items.len() > SHOWN { format!("{shown} + {} more...", items.len() - SHOWN).into() } else { shown.into() }
}

fn default(slice: &mut Value) {
    for port in slice.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if port.get("name").is_none() {
            port.set_at(&["name"], "");
        }
        if port.get("protocol").is_none() {
            port.set_at(&["protocol"], "TCP");
        }
    }
}

/// Labels count as content here, other metadata does not.
fn prepare_update(new: &mut Value, old: &Value, _: &Context<'_>) {
    let content = |slice: &Value| {
        let lists = ["endpoints", "ports"].map(|field| slice.items_at(&[field]).to_vec());
        (slice.get("addressType").cloned(), lists, meta::labels(slice).cloned())
    };
    if content(new) != content(old) {
        meta::set_generation(new, meta::generation(old) + 1);
    }
}

fn check(slice: &Value) -> Errors {
    let mut errors = Errors::new();
    let address_type = slice.str_at(&["addressType"]).unwrap_or_default();
    let path = Path::new("addressType");
    let supported = ["FQDN", "IPv4", "IPv6"];
    if address_type.is_empty() {
        errors.push(Error::required(&path, ""));
    } else if !supported.contains(&address_type) {
        errors.push(Error::not_supported(&path, address_type, &supported));
    }
    errors.extend(check_endpoints(slice.items_at(&["endpoints"]), address_type));
    errors.extend(check_ports(slice.items_at(&["ports"])));
    errors
}

fn check_update(new: &Value, old: &Value) -> Errors {
    let mut errors = check(new);
    errors.extend(immutable(new.get("addressType"), old.get("addressType"), &Path::new("addressType")));
    errors
}

fn check_endpoints(endpoints: &[Value], address_type: &str) -> Errors {
    let path = Path::new("endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![Error::too_many(&path, endpoints.len(), MAX_ENDPOINTS)];
    }
    endpoints
        .iter()
        .enumerate()
        .flat_map(|(i, endpoint)| check_endpoint(endpoint, address_type, &path.index(i)))
        .collect()
}

fn check_endpoint(endpoint: &Value, address_type: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let addresses_path = path.child("addresses");
    let addresses = endpoint.items_at(&["addresses"]);
    if addresses.is_empty() {
        errors.push(Error::required(&addresses_path, "must contain at least 1 address"));
    } else if addresses.len() > MAX_ADDRESSES {
        errors.push(Error::too_many(&addresses_path, addresses.len(), MAX_ADDRESSES));
    }
    for (i, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(check_address(address, address_type, &addresses_path, i));
    }
    if let Some(name) = endpoint.str_at(&["nodeName"]) {
        let messages = names::is_dns1123_subdomain(name);
        errors.extend(messages.into_iter().map(|m| Error::invalid(&path.child("nodeName"), name, m)));
    }
    if let Some(name) = endpoint.str_at(&["hostname"]) {
        let messages = names::is_dns1123_label(name);
        errors.extend(messages.into_iter().map(|m| Error::invalid(&path.child("hostname"), name, m)));
    }
    let hints = endpoint.get("hints").unwrap_or(&Value::Null);
    for (field, check) in HINTS {
        errors.extend(check_hints(hints.items_at(&[field]), check, &path.child("hints").child(field)));
    }
    errors
}

fn check_address(address: &str, address_type: &str, path: &Path, i: usize) -> Errors {
    let of_family = |good: fn(&IpAddr) -> bool, detail: &str| {
        let mut errors: Errors = crate::validate::ip(address, &path.index(i));
        if errors.is_empty() {
            if !names::parse_ip(address).is_some_and(|ip| good(&ip)) {
                errors.push(Error::invalid(path, address, detail));
            }
            errors.extend(non_special_ip(address, &path.index(i)));
        }
        errors
    };
    match address_type {
        "IPv4" => of_family(IpAddr::is_ipv4, "must be an IPv4 address"),
        "IPv6" => of_family(IpAddr::is_ipv6, "must be an IPv6 address"),
        "FQDN" => domain_name(address, &path.index(i)).into_iter().collect(),
        _ => Errors::new(),
    }
}

/// A domain name of at least two parts.
fn domain_name(name: &str, path: &Path) -> Option<Error> {
    if name.is_empty() {
        return Some(Error::required(path, ""));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let problems = names::is_dns1123_subdomain(name);
    if !problems.is_empty() {
        return Some(Error::invalid(path, name, problems.join(",")));
    }
    if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        return Some(Error::invalid(path, name, detail));
    }
    name.split('.').find_map(|label| {
        let problems = names::is_dns1123_label(label);
        (!problems.is_empty()).then(|| Error::invalid(path, label, problems.join(",")))
    })
}

fn check_hints(zones: &[Value], check: fn(&str) -> Vec<String>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if zones.len() > MAX_HINTS {
        errors.push(Error::too_many(path, zones.len(), MAX_HINTS));
        return errors;
    }
    let mut seen = BTreeSet::new();
    for (i, zone) in zones.iter().filter_map(|zone| zone.str_at(&["name"])).enumerate() {
        let path = path.index(i).child("name");
        if !seen.insert(zone) {
            errors.push(Error::duplicate(&path, zone));
        }
        errors.extend(check(zone).into_iter().map(|m| Error::invalid(&path, zone, m)));
    }
    errors
}

fn check_ports(ports: &[Value]) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("ports");
    if ports.len() > MAX_PORTS {
        return vec![Error::too_many(&path, ports.len(), MAX_PORTS)];
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.str_at(&["name"]).unwrap_or_default();
        if !name.is_empty() {
            let messages = names::is_dns1123_label(name);
            errors.extend(messages.into_iter().map(|m| Error::invalid(&path.child("name"), name, m)));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        errors.extend(one_of_if_set(port.get("protocol"), &["SCTP", "TCP", "UDP"], &path.child("protocol")));
        if let Some(app) = port.str_at(&["appProtocol"]) {
            let messages = names::is_qualified_name(app);
            errors.extend(messages.into_iter().map(|m| Error::invalid(&path.child("appProtocol"), app, m)));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    fn of(address_type: &str, addresses: Value) -> String {
        let slice = value!({"addressType": address_type, "endpoints": [{"addresses": addresses}]});
        field::aggregate(&check(&slice))
    }

    #[test]
    fn addresses() {
        expect_test::expect![[r#"[endpoints[0].addresses[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff), endpoints[0].addresses: Invalid value: "::1": must be an IPv4 address, endpoints[0].addresses[1]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)]"#]]
        .assert_eq(&of("IPv4", value!(["x", "::1"])));
        expect_test::expect!["endpoints[0].addresses: Required value: must contain at least 1 address"]
            .assert_eq(&of("IPv4", value!([])));
        expect_test::expect![[r#"addressType: Unsupported value: "IPv5": supported values: "FQDN", "IPv4", "IPv6""#]]
            .assert_eq(&of("IPv5", value!(["10.1.2.3"])));
    }

    #[test]
    fn cells() {
        let slice = value!({"metadata": {"name": "a"}, "addressType": "IPv4", "ports": [{"port": 80}, {"port": 81}],
            "endpoints": [{"addresses": ["10.1.1.1", "10.1.1.2"]}, {"addresses": ["10.1.1.3", "10.1.1.4"]}]});
        let row = row(&slice, Timestamp::UNIX_EPOCH);
        assert_eq!(row[2], "80,81".into());
        assert_eq!(row[3], "10.1.1.1,10.1.1.2,10.1.1.3 + 1 more...".into());
    }
}
