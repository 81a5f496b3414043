//! Addresses and ranges that must be written one way only, and warnings about those that need not (KEP-4858).

use std::net::IpAddr;

use ipnet::IpNet;
use machinery::field::{Error, Errors, Path, quote};
use machinery::names;

use super::{cidr, ip, parse_cidr};

/// What is wrong with an address that must be in its canonical form.
#[must_use]
pub fn strict_ip(value: &str, path: &Path) -> Errors {
    let mut errors = ip(value, path);
    let Some(address) = names::parse_ip(value).filter(|_| errors.is_empty()) else { return errors };
    let canonical = address.to_string();
    if canonical != value {
        errors.push(Error::invalid(path, value, format!("must be in canonical form ({})", quote(&canonical))));
    }
    errors
}

/// Why a text is no plain address though some readers take it.
pub(super) fn ambiguity(value: &str) -> Option<&'static str> {
    let address = names::parse_ip(value)?;
    if has_leading_zeros(value) {
        return Some("must not have leading 0s");
    }
    is_mapped(address).then_some("must not be an IPv4-mapped IPv6 address")
}

/// Why a text is no plain range though some readers take it.
pub(super) fn range_ambiguity(value: &str, range: IpNet) -> Option<&'static str> {
    if has_leading_zeros(value) {
        Some("must not have leading 0s in IP or prefix length")
    } else if is_mapped(range.addr()) {
        Some("must not have an IPv4-mapped IPv6 address")
    } else {
        (range.addr() != range.network()).then_some("must not have bits set beyond the prefix length")
    }
}

/// The same as texts: for names that are addresses.
#[must_use]
pub fn strict_ip_messages(value: &str) -> Vec<String> {
    strict_ip(value, &Path::default()).into_iter().map(|error| error.detail).collect()
}

/// What is wrong with a range that must be in its canonical form.
#[must_use]
pub fn strict_cidr(value: &str, path: &Path) -> Errors {
    let mut errors: Errors = cidr(value, path).into_iter().collect();
    let Some(range) = parse_cidr(value).filter(|_| errors.is_empty()) else { return errors };
    let canonical = range.to_string();
    if canonical != value {
        errors.push(Error::invalid(path, value, format!("must be in canonical form ({})", quote(&canonical))));
    }
    errors
}

/// The warnings about an address in a field that takes any form.
#[must_use]
pub fn ip_warnings(value: &str, path: &Path) -> Vec<String> {
    let Some(address) = names::parse_ip(value) else { return Vec::new() };
    if has_leading_zeros(value) || is_mapped(address) {
        let (value, better) = (quote(value), quote(&unmapped(address).to_string()));
        return vec![format!(
            "{path}: non-standard IP address {value} will be considered invalid in a future Kubernetes release: use {better}"
        )];
    }
    if address.is_ipv6() && address.to_string() != value {
        let (value, better) = (quote(value), quote(&address.to_string()));
        return vec![format!("{path}: IPv6 address {value} should be in RFC 5952 canonical format ({better})")];
    }
    Vec::new()
}

/// The warnings about a range in a field that takes any form.
#[must_use]
pub fn cidr_warnings(value: &str, path: &Path) -> Vec<String> {
    let Some(range) = parse_cidr(value) else { return Vec::new() };
    let (shown, network) = (quote(value), quote(&range.trunc().to_string()));
    let mut warnings = Vec::new();
    if range.addr() != range.network() {
        let single = quote(&IpNet::from(range.addr()).to_string());
        warnings.push(format!(
            "{path}: CIDR value {shown} is ambiguous in this context (should be {network} or {single}?)"
        ));
    }
    if has_leading_zeros(value) || is_mapped(range.addr()) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {shown} will be considered invalid in a future Kubernetes release: use {network}"
        ));
    }
    if warnings.is_empty() && range.addr().is_ipv6() && range.to_string() != value {
        let better = quote(&range.to_string());
        warnings.push(format!("{path}: IPv6 CIDR value {shown} should be in RFC 5952 canonical format ({better})"));
    }
    warnings
}

/// Whether a part of an IPv4 address, or the length of a range, has zeros before it.
fn has_leading_zeros(value: &str) -> bool {
    let (address, length) = value.split_once('/').unwrap_or((value, ""));
    let padded = |part: &str| part.len() > 1 && part.starts_with('0');
    let dotted = address.rsplit(':').next().filter(|tail| tail.contains('.'));
    dotted.into_iter().flat_map(|tail| tail.split('.')).any(padded) || padded(length)
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn strict() {
        let of = |value: &str| field::aggregate(&strict_ip(value, &Path::new("ip")));
        expect_test::expect![[r#"ip: Invalid value: "010.0.0.1": must not have leading 0s"#]]
            .assert_eq(&of("010.0.0.1"));
        expect_test::expect![[r#"ip: Invalid value: "::ffff:10.0.0.1": must not be an IPv4-mapped IPv6 address"#]]
            .assert_eq(&of("::ffff:10.0.0.1"));
        expect_test::expect![[r#"ip: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")"#]]
            .assert_eq(&of("2001:DB8::1"));
        let of = |value: &str| field::aggregate(&strict_cidr(value, &Path::new("c")));
        expect_test::expect![[r#"c: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length"#]]
            .assert_eq(&of("10.0.0.1/24"));
        expect_test::expect![[r#"c: Invalid value: "FD00::/64": must be in canonical form ("fd00::/64")"#]]
            .assert_eq(&of("FD00::/64"));
    }

    #[test]
    fn warned_about() {
        expect_test::expect![[r#"["ip: non-standard IP address \"010.0.0.1\" will be considered invalid in a future Kubernetes release: use \"10.0.0.1\""]"#]]
        .assert_eq(&format!("{:?}", ip_warnings("010.0.0.1", &Path::new("ip"))));
        expect_test::expect![[r#"["c: CIDR value \"10.0.0.1/24\" is ambiguous in this context (should be \"10.0.0.0/24\" or \"10.0.0.1/32\"?)"]"#]]
        .assert_eq(&format!("{:?}", cidr_warnings("10.0.0.1/24", &Path::new("c"))));
    }
}
