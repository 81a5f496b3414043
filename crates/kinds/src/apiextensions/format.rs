//! The formats that texts in schemas may have.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use machinery::{Value, names};
use regex::Regex;

/// Whether a text has the format; nothing of a format that is not known.
pub(super) fn fits(format: &str, text: &str) -> Option<bool> {
    let fits = match format {
        "password" => true,
        "date-time" | "datetime" => is_time(text),
        "date" => DATE.is_match(text) && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => DURATION.is_match(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => crate::validate::parse_cidr(text).is_some(),
        "mac" => MAC.is_match(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        "byte" => !text.is_empty() && BASE64.is_match(text),
        "hexcolor" => HEX_COLOR.is_match(text),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "ssn" => SSN.is_match(text),
        "k8s-short-name" => names::is_dns1123_label(text).is_empty(),
        "k8s-long-name" => names::is_dns1123_subdomain(text).is_empty(),
        _ => return None,
    };
    Some(fits)
}

/// Whether a whole number has room in the format.
pub(super) fn has_room(format: &str, value: &Value) -> bool {
    let Value::Int(number) = value else { return true };
    match format {
        "int32" => i32::try_from(*number).is_ok(),
        "uint32" => u32::try_from(*number).is_ok(),
        "uint64" => u64::try_from(*number).is_ok(),
        _ => true,
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is one")
}

static DATE: LazyLock<Regex> = LazyLock::new(|| regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"));
static DATE_TIME: LazyLock<Regex> = LazyLock::new(|| {
    regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$")
});
/// As Go writes them, or a number with a word.
static DURATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        "^([+-]?(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+)",
        "|[0-9]+ ?(ns|nano(second)?s?|us|micro(second)?s?|ms|milli(second)?s?|s|sec(ond)?s?|m|min(ute)?s?",
        "|h|hr|hours?|d|days?|w|wk|weeks?))$"
    ))
});
static MAC: LazyLock<Regex> = LazyLock::new(|| {
    regex("^([0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}([:-][0-9A-Fa-f]{2}){0,2}|([0-9A-Fa-f]{4}[.]){2,3}[0-9A-Fa-f]{4})$")
});
static BASE64: LazyLock<Regex> =
    LazyLock::new(|| regex("^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"));
static HEX_COLOR: LazyLock<Regex> = LazyLock::new(|| regex("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static SSN: LazyLock<Regex> = LazyLock::new(|| regex("^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static UUID: LazyLock<Regex> =
    LazyLock::new(|| regex("^[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}$"));

fn is_time(text: &str) -> bool {
    DATE_TIME.is_match(text) && text.replace(' ', "T").parse::<jiff::Timestamp>().is_ok()
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let digits = || text.chars().filter(|c| *c != '-');
    let variant = || digits().nth(16).is_some_and(|c| version == Some('3') || "89abAB".contains(c));
    UUID.is_match(text) && version.is_none_or(|version| digits().nth(12) == Some(version) && variant())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let table = [
            ("date-time", "2024-01-02T03:04:05Z", "2024-13-02T03:04:05Z"),
            ("date", "2024-02-29", "2023-02-29"),
            ("duration", "1h30m", "soon"),
            ("duration", "3 days", "3 dogs"),
            ("ipv4", "10.0.0.1", "::1"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("mac", "00:11:22:33:44:55", "00:11"),
            ("uuid4", "5f9c6d4e-32e1-4c4f-9f0b-2a6e4b6c7d8e", "5f9c6d4e-32e1-1c4f-9f0b-2a6e4b6c7d8e"),
            ("byte", "YWJj", "YWJ"),
            ("k8s-short-name", "a-b", "a.b"),
        ];
        for (format, good, bad) in table {
            assert_eq!((fits(format, good), fits(format, bad)), (Some(true), Some(false)), "{format}");
        }
        assert_eq!(fits("int64", "x"), None);
    }
}
