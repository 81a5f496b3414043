//! What names, labels, keys, ports and addresses may look like, in the API's words: an empty answer means "good".

use std::net::IpAddr;

/// The longest RFC 1123 label.
pub const DNS1123_LABEL_MAX_LENGTH: usize = 63;
/// The longest RFC 1123 subdomain.
pub const DNS1123_SUBDOMAIN_MAX_LENGTH: usize = 253;
/// The longest RFC 1035 label.
pub const DNS1035_LABEL_MAX_LENGTH: usize = 63;
/// The longest label value.
pub const LABEL_VALUE_MAX_LENGTH: usize = 63;

const QUALIFIED_NAME_MAX_LENGTH: usize = 63;
const FIELD_MANAGER_MAX_LENGTH: usize = 128;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                             and must start and end with an alphanumeric character";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
                                 '-' or '.', and must start and end with an alphanumeric character";
const UNDERSCORE_SUBDOMAIN: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const UNDERSCORE_SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must \
     start and end with an alphanumeric character";
const DNS1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const DNS1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
                               with an alphabetic character, and end with an alphanumeric character";
const WILDCARD: &str = "\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const WILDCARD_MESSAGE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS \
                                subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and \
                                end with an alphanumeric character";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                                 with an alphanumeric character";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', \
                                   '_' or '.', and must start and end with an alphanumeric character";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";
const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
const C_IDENTIFIER: &str = "[A-Za-z_][A-Za-z0-9_]*";
const C_IDENTIFIER_MESSAGE: &str = "a valid C identifier must start with alphabetic character or '_', followed by a \
                                    string of alphanumeric characters or '_'";
const ENV_VAR: &str = "[-._a-zA-Z][-._a-zA-Z0-9]*";
const ENV_VAR_MESSAGE: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not \
     start with a digit";
const HTTP_HEADER: &str = "[-A-Za-z0-9]+";
const HTTP_HEADER_MESSAGE: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
const PERCENT: &str = "[0-9]+%";
const PERCENT_MESSAGE: &str = "a valid percent string must be a numeric string followed by an ending '%'";
const PORT_NAME_MESSAGE: &str = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";

/// The message of a text that is too long, counted in characters.
#[must_use]
pub fn max_length(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// The message of a text that is too long, counted in bytes.
#[must_use]
pub fn max_bytes(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// The message of a text that is empty and may not be.
#[must_use]
pub fn empty() -> String {
    "must be non-empty".to_owned()
}

/// The message of a number outside `low..=high`.
#[must_use]
pub fn inclusive_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// A message that shows the pattern and some texts that match it.
#[must_use]
pub fn regex_message(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    let shown: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{pattern}')", shown.join(" or "))
}

/// A label of a domain name as RFC 1123 has it: most names that become host names.
#[must_use]
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    let mut errors = longer(value, DNS1123_LABEL_MAX_LENGTH);
    if !is_label(value, "-") {
        if is_subdomain(value) {
            errors.push("must not contain dots".to_owned());
        } else {
            errors.push(regex_message(LABEL_MESSAGE, LABEL, &["my-name", "123-abc"]));
        }
    }
    errors
}

/// A domain name as RFC 1123 has it: what most objects' names must be.
#[must_use]
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = longer(value, DNS1123_SUBDOMAIN_MAX_LENGTH);
    if !is_subdomain(value) {
        errors.push(regex_message(SUBDOMAIN_MESSAGE, SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// A domain name that may also have underscores: a resolver's search domain.
#[must_use]
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut errors = longer(value, DNS1123_SUBDOMAIN_MAX_LENGTH);
    if !value.split('.').all(|part| is_label(part.strip_prefix('_').unwrap_or(part), "-_")) {
        errors.push(regex_message(UNDERSCORE_SUBDOMAIN_MESSAGE, UNDERSCORE_SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// A label of a domain name as RFC 1035 has it: a Service's name.
#[must_use]
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    let mut errors = longer(value, DNS1035_LABEL_MAX_LENGTH);
    if !(is_label(value, "-") && value.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(regex_message(DNS1035_MESSAGE, DNS1035, &["my-name", "abc-123"]));
    }
    errors
}

/// `*.` before a domain name: an Ingress host.
#[must_use]
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = longer(value, DNS1123_SUBDOMAIN_MAX_LENGTH);
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        errors.push(regex_message(WILDCARD_MESSAGE, WILDCARD, &["*.example.com"]));
    }
    errors
}

/// A name with an optional domain before it: label keys, annotation keys, taint keys, resource names.
#[must_use]
pub fn is_qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let mut parts = value.split('/');
    let name = match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
        (name, None, _) => name,
        (prefix, Some(name), None) => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {}", empty()));
            } else {
                errors.extend(is_dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
        _ => {
            let shown = regex_message(QUALIFIED_MESSAGE, QUALIFIED, &["MyName", "my.name", "123-abc"]);
            errors.push(format!(
                "a qualified name {shown} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
            return errors;
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {}", empty()));
    } else if name.len() > QUALIFIED_NAME_MAX_LENGTH {
        errors.push(format!("name part {}", max_bytes(QUALIFIED_NAME_MAX_LENGTH)));
    }
    if !is_qualified_part(name) {
        let shown = regex_message(QUALIFIED_MESSAGE, QUALIFIED, &["MyName", "my.name", "123-abc"]);
        errors.push(format!("name part {shown}"));
    }
    errors
}

/// A label's value; may be empty.
#[must_use]
pub fn is_label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_VALUE_MAX_LENGTH {
        errors.push(max_bytes(LABEL_VALUE_MAX_LENGTH));
    }
    if !value.is_empty() && !is_qualified_part(value) {
        errors.push(regex_message(LABEL_VALUE_MESSAGE, LABEL_VALUE, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A key of a ConfigMap or Secret: it becomes a file name.
#[must_use]
pub fn is_config_map_key(value: &str) -> Vec<String> {
    let mut errors = longer(value, DNS1123_SUBDOMAIN_MAX_LENGTH);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        errors.push(regex_message(CONFIG_KEY_MESSAGE, CONFIG_KEY, &["key.name", "KEY_NAME", "key-name"]));
    }
    errors.extend(has_dot_prefix(value));
    errors
}

/// A name of an environment variable, strict: letters, digits, `_`, `-`, `.`.
#[must_use]
pub fn is_env_var_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !value.bytes().all(good) || value.bytes().next().is_none_or(|b| b.is_ascii_digit()) {
        errors.push(regex_message(ENV_VAR_MESSAGE, ENV_VAR, &["my.env-name", "MY_ENV.NAME", "MyEnvName1"]));
    }
    errors.extend(has_dot_prefix(value));
    errors
}

/// A name of an environment variable, relaxed (KEP-4369): printable ASCII without `=`.
#[must_use]
pub fn is_relaxed_env_var_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec![format!("environment variable name {}", empty())];
    }
    if value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// A name of a variable in C.
#[must_use]
pub fn is_c_identifier(value: &str) -> Vec<String> {
    let good = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if good && value.bytes().next().is_some_and(|b| !b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex_message(C_IDENTIFIER_MESSAGE, C_IDENTIFIER, &["my_name", "MY_NAME", "MyName"])]
}

/// A name of an HTTP header.
#[must_use]
pub fn is_http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![regex_message(HTTP_HEADER_MESSAGE, HTTP_HEADER, &["X-Header-Name"])]
}

/// `10%`.
#[must_use]
pub fn is_percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex_message(PERCENT_MESSAGE, PERCENT, &["1%", "93%"])]
}

/// An IANA service name: a container port's name.
#[must_use]
pub fn is_port_name(value: &str) -> Vec<String> {
    let mut errors = longer(value, 15);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        errors.push(PORT_NAME_MESSAGE.to_owned());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A TCP or UDP port.
#[must_use]
pub fn is_port(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![inclusive_range(1, 65535)] }
}

/// A user number of a process.
#[must_use]
pub fn is_user_id(id: i64) -> Vec<String> {
    if (0..=i64::from(i32::MAX)).contains(&id) { Vec::new() } else { vec![inclusive_range(0, i32::MAX.into())] }
}

/// An address of IPv4 or IPv6; leading zeroes of IPv4 are let through as upstream does (`10.000.0.1`).
#[must_use]
pub fn parse_ip(value: &str) -> Option<IpAddr> {
    if let Ok(address) = value.parse() {
        return Some(address);
    }
    let octets: Vec<u8> = value.split('.').map(octet).collect::<Option<_>>()?;
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some(IpAddr::from(octets))
}

/// An address of IPv4 or IPv6, or the message of what is none.
#[must_use]
pub fn is_ip(value: &str) -> Vec<String> {
    if parse_ip(value).is_some() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// A prefix or suffix-to-be of a name: a trailing dash is masked before the check, as for `generateName`.
#[must_use]
pub fn mask_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(stem) if !stem.is_empty() => format!("{stem}a"),
        _ => name.to_owned(),
    }
}

/// A segment of a URL path: names of RBAC objects.
#[must_use]
pub fn is_path_segment_name(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    is_path_segment_prefix(name)
}

/// The start of a segment of a URL path.
#[must_use]
pub fn is_path_segment_prefix(name: &str) -> Vec<String> {
    ['/', '%'].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// A name of a field manager: at most 128 printable characters.
#[must_use]
pub fn is_field_manager(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > FIELD_MANAGER_MAX_LENGTH {
        errors.push(max_bytes(FIELD_MANAGER_MAX_LENGTH));
    }
    if let Some((at, c)) = name.chars().enumerate().find(|(_, c)| c.is_control()) {
        errors.push(format!("invalid character U+{:04X} (at position {at})", u32::from(c)));
    }
    errors
}

fn longer(value: &str, limit: usize) -> Vec<String> {
    if value.len() > limit { vec![max_length(limit)] } else { Vec::new() }
}

/// Lower case letters and digits, and `inner` between them.
fn is_label(value: &str, inner: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = value.as_bytes();
    let ends = bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain);
    ends && bytes.iter().all(|b| plain(b) || inner.as_bytes().contains(b))
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(|part| is_label(part, "-"))
}

fn is_qualified_part(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn has_dot_prefix(value: &str) -> Vec<String> {
    match value {
        "." => vec!["must not be '.'".to_owned()],
        ".." => vec!["must not be '..'".to_owned()],
        _ if value.starts_with("..") => vec!["must not start with '..'".to_owned()],
        _ => Vec::new(),
    }
}

fn octet(text: &str) -> Option<u8> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn show(check: fn(&str) -> Vec<String>, values: &[&str]) -> String {
        values.iter().map(|value| format!("{value}: {}\n", check(value).join("; "))).collect()
    }

    #[test]
    fn labels_and_subdomains() {
        expect![[r#"
            web: 
            a.b: must not contain dots
            Abc: a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        "#]]
        .assert_eq(&show(is_dns1123_label, &["web", "a.b", "Abc"]));
        expect![[r#"
            a.b: 
            a..b: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        "#]]
        .assert_eq(&show(is_dns1123_subdomain, &["a.b", "a..b"]));
    }

    #[test]
    fn the_ends_of_labels() {
        let good = |check: fn(&str) -> Vec<String>, values: &[&str]| {
            values.iter().filter(|value| check(value).is_empty()).copied().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(good(is_dns1123_label, &["a", "0-0", "", "-", "a-", "-a", "a_b", "ä"]), "a 0-0");
        assert_eq!(good(is_dns1123_subdomain, &["a.b-c.d", "", ".", "a.", ".a", "a-.b", "a_b"]), "a.b-c.d");
        let check = is_dns1123_subdomain_with_underscore;
        assert_eq!(good(check, &["_a.b", "a._b", "a_-b", "__a", "_", "a_", "a._"]), "_a.b a._b a_-b");
        assert_eq!(good(is_dns1035_label, &["a0", "0a", "a-b", "a-", ""]), "a0 a-b");
        assert_eq!(good(is_wildcard_dns1123_subdomain, &["*.a.b", "*.", "*a", "a.b", "*.*.a"]), "*.a.b");
    }

    #[test]
    fn keys_and_values() {
        expect![[r#"
            a/b: 
            /b: prefix part must be non-empty
            a/: name part must be non-empty; name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        "#]]
        .assert_eq(&show(is_qualified_name, &["a/b", "/b", "a/"]));
        expect![[r#"
            : 
            ?: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        "#]]
        .assert_eq(&show(is_label_value, &["", "?"]));
        expect![[r#"
            k: 
            ..: must not be '..'
            ..a: must not start with '..'
        "#]]
        .assert_eq(&show(is_config_map_key, &["k", "..", "..a"]));
    }

    #[test]
    fn ports_and_addresses() {
        expect![[r#"
            http: 
            80: must contain at least one letter (a-z)
            -a--b: must not contain consecutive hyphens; must not begin or end with a hyphen
            toolongportnamexx: must be no more than 15 characters
        "#]]
        .assert_eq(&show(is_port_name, &["http", "80", "-a--b", "toolongportnamexx"]));
        assert!(parse_ip("10.096.0.1").is_some() && parse_ip("x").is_none() && parse_ip("::1").is_some());
    }
}
