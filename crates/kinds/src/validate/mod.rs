//! Checks that several kinds share: metadata, selectors, resources, containers, volumes, pod specs.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

pub mod address;
pub mod conditions;
pub mod deprecated;
pub mod diff;
pub mod metadata;
pub mod pod_template;
pub mod resources;
pub mod selector;
pub mod webhook;

/// The text of the API for a number below zero.
pub const NEGATIVE: &str = "must be greater than or equal to 0";

/// The longest name of a storage driver (CSI specification).
const MAX_CSI_DRIVER_NAME_BYTES: usize = 63;

/// A number that may not be negative.
#[must_use]
pub fn non_negative(number: Option<i64>, path: &Path) -> Option<Error> {
    number.filter(|n| *n < 0).map(|n| Error::invalid(path, n, NEGATIVE))
}

/// The non-negative number at the member `name`.
#[must_use]
pub fn non_negative_at(object: &Value, name: &str, path: &Path) -> Option<Error> {
    non_negative(object.int_at(&[name]), &path.child(name))
}

/// A text that must be one of `supported`, which is listed in this order.
#[must_use]
pub fn one_of(value: &str, supported: &[&str], path: &Path) -> Option<Error> {
    (!supported.contains(&value)).then(|| Error::not_supported(path, value, supported))
}

/// A text that must be one of `supported` if it is there.
#[must_use]
pub fn one_of_if_set(value: Option<&Value>, supported: &[&str], path: &Path) -> Option<Error> {
    one_of(value?.as_str()?, supported, path)
}

/// The messages of `check` about `value`.
pub fn text<'a>(check: fn(&str) -> Vec<String>, value: &'a str, path: &'a Path) -> impl Iterator<Item = Error> + 'a {
    check(value).into_iter().map(move |message| Error::invalid(path, value, message))
}

/// A domain name that must be there.
#[must_use]
pub fn required(value: Option<&str>, path: &Path, detail: &str) -> Option<Error> {
    value.is_none_or(str::is_empty).then(|| Error::required(path, detail))
}

/// A number or a percentage of pods: not negative, and a text must be a percentage.
#[must_use]
pub fn non_negative_int_or_percent(value: Option<&Value>, path: &Path) -> Errors {
    match value {
        Some(Value::String(percent)) => text(names::is_percent, percent, path).collect(),
        Some(Value::Int(number)) => non_negative(Some(*number), path).into_iter().collect(),
        _ => Errors::new(),
    }
}

/// A percentage that may not be over 100.
#[must_use]
pub fn at_most_100_percent(value: Option<&Value>, path: &Path) -> Option<Error> {
    let percent = value?.as_str()?;
    let over = names::is_percent(percent).is_empty() && percent_value(percent).is_some_and(|n| n > 100);
    over.then(|| Error::invalid(path, percent, "must not be greater than 100%"))
}

/// Whether a number or a percentage of pods is none of them; what is not a percentage counts as none.
#[must_use]
pub fn is_zero(number: Option<&Value>) -> bool {
    match number {
        Some(Value::Int(number)) => *number == 0,
        Some(Value::String(text)) => percent_value(text).or_else(|| text.parse().ok()).unwrap_or_default() == 0,
        _ => true,
    }
}

/// The count of names that were taken only grows.
#[must_use]
pub fn collisions_stay(new: &Value, old: &Value) -> Option<Error> {
    let path = ["status", "collisionCount"];
    let (after, before) = (new.int_at(&path), old.int_at(&path));
    let fewer = before.is_some() && (after.is_none() || after < before);
    let field = Path::new("status.collisionCount");
    fewer.then(|| Error::invalid(&field, after.unwrap_or_default(), "cannot be decremented"))
}

/// The number in `25%`.
#[must_use]
pub fn percent_value(percent: &str) -> Option<i64> {
    percent.strip_suffix('%')?.parse().ok()
}

/// An address of IPv4 or IPv6, written as neither an old nor a new reader could mistake it (KEP-4858).
#[must_use]
pub fn ip(value: &str, path: &Path) -> Errors {
    let wrong: Errors = text(names::is_ip, value, path).collect();
    let ambiguous = address::ambiguity(value).filter(|_| wrong.is_empty());
    wrong.into_iter().chain(ambiguous.map(|detail| Error::invalid(path, value, detail))).collect()
}

/// An address that a person wrote to reach something elsewhere: not of this host, not of this link.
#[must_use]
pub fn non_special_ip(value: &str, path: &Path) -> Errors {
    let Some(address) = names::parse_ip(value) else {
        return vec![Error::invalid(path, value, "must be a valid IP address")];
    };
    let (unspecified, link_local, link_local_multicast) = match address {
        std::net::IpAddr::V4(v4) => (v4.is_unspecified(), v4.is_link_local(), v4.octets().starts_with(&[224, 0, 0])),
        std::net::IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            (v6.is_unspecified(), first & 0xffc0 == 0xfe80, first & 0xff0f == 0xff02)
        }
    };
    let rules = [
        (unspecified, format!("may not be unspecified ({value})")),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
        (link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, detail)| Error::invalid(path, value, detail)).collect()
}

/// The name of a storage driver.
#[must_use]
pub fn csi_driver_name(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > MAX_CSI_DRIVER_NAME_BYTES {
        errors.push(Error::too_long(path, MAX_CSI_DRIVER_NAME_BYTES));
    }
    let problems = names::is_dns1123_subdomain(&name.to_lowercase());
    errors.extend(problems.into_iter().map(|problem| Error::invalid(path, name, problem)));
    errors
}

/// A domain, a slash, and a path below it.
#[must_use]
pub fn domain_prefixed_path(value: &str, path: &Path) -> Errors {
    const PATH: &str = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
    if value.is_empty() {
        return vec![Error::required(path, "")];
    }
    let Some((domain, rest)) = value.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![Error::invalid(path, value, detail)];
    };
    let mut errors: Errors = text(names::is_dns1123_subdomain, domain, path).collect();
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        errors.push(Error::invalid(path, rest, names::regex_message("Invalid path", PATH, &[])));
    }
    errors
}

/// A range of addresses in CIDR notation.
#[must_use]
pub fn cidr(value: &str, path: &Path) -> Option<Error> {
    let detail = match parse_cidr(value) {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some(range) => address::range_ambiguity(value, range)?,
    };
    Some(Error::invalid(path, value, detail))
}

/// The range that a text in CIDR notation stands for.
#[must_use]
pub fn parse_cidr(value: &str) -> Option<ipnet::IpNet> {
    let (address, bits) = value.split_once('/')?;
    ipnet::IpNet::new(names::parse_ip(address)?, bits.parse().ok()?).ok()
}

/// A port by number, or by the name that a container gives it.
#[must_use]
pub fn port_or_name(port: Option<&Value>, path: &Path) -> Errors {
    match port {
        Some(Value::Int(number)) => {
            names::is_port(*number).into_iter().map(|m| Error::invalid(path, *number, m)).collect()
        }
        Some(Value::String(name)) => text(names::is_port_name, name, path).collect(),
        _ => names::is_port(0).into_iter().map(|m| Error::invalid(path, 0, m)).collect(),
    }
}

/// Counters of a status with replicas: none negative, and no part larger than the whole.
#[must_use]
pub fn replica_counts(object: &Value, fields: &[&str]) -> Errors {
    let path = Path::new("status");
    let status = object.get("status").unwrap_or(&Value::Null);
    let count = |field: &str| status.int_at(&[field]).unwrap_or_default();
    let mut errors: Errors = fields.iter().filter_map(|field| non_negative_at(status, field, &path)).collect();
    let whole = "cannot be greater than status.replicas";
    for field in ["fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        if fields.contains(&field) && count(field) > count("replicas") {
            errors.push(Error::invalid(&path.child(field), count(field), whole));
        }
    }
    if fields.contains(&"availableReplicas") && count("availableReplicas") > count("readyReplicas") {
        let detail = "cannot be greater than readyReplicas";
        errors.push(Error::invalid(&path.child("availableReplicas"), count("availableReplicas"), detail));
    }
    errors
}
