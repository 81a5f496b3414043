//! The query of a URL, decoded as Go's `url.ParseQuery` does.

use std::fmt::Write as _;
use std::time::Duration;

/// Names with values in order; a name may stand several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `raw`; pairs that are not well-formed are left out.
    #[must_use]
    pub fn parse(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        Self(
            pairs
                .filter_map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((unescape(name, true)?, unescape(value, true)?))
                })
                .collect(),
        )
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of `name`, empty when there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether `name` stands there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A truth as API parameters have it: only `false` and `0` are false, an absent one is `None`.
    #[must_use]
    pub fn truth(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !(value.eq_ignore_ascii_case("false") || value == "0"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// Go's words for what is no number.
    pub fn number(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_int(text).map(Some)
    }
}

/// `strconv.ParseInt(text, 10, 64)` with its error texts.
fn parse_int(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let why =
            if matches!(error.kind(), PosOverflow | NegOverflow) { "value out of range" } else { "invalid syntax" };
        format!("strconv.ParseInt: parsing {}: {why}", machinery::field::quote(text))
    })
}

/// `time.ParseDuration` of a duration that is not negative, with its error texts.
///
/// # Errors
/// Go's words for what is no duration.
pub fn go_duration(text: &str) -> Result<Duration, String> {
    let quoted = machinery::field::quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (unsigned, 0.0);
    if rest.is_empty() || rest.starts_with('-') {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..letters] {
            "" => return Err(format!("time: missing unit in duration {quoted}")),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            unit => return Err(format!("time: unknown unit {} in duration {quoted}", machinery::field::quote(unit))),
        };
        seconds += number * scale;
        rest = &rest[letters..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// Undoes percent-encoding; `None` when it is broken.
#[must_use]
pub fn unescape(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'%' => {
                let (hex, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
                rest = after;
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Percent-encodes what may not stand in a path segment or a query value.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = ["1m30s", "1.5h", "0", "100ms", "5", "x", "5y", "", "-1s"];
        let shown = cases.map(|case| format!("{:?}", go_duration(case)));
        expect_test::expect![[r#"
            Ok(90s)
            Ok(5400s)
            Ok(0ns)
            Ok(100ms)
            Err("time: missing unit in duration \"5\"")
            Err("time: invalid duration \"x\"")
            Err("time: unknown unit \"y\" in duration \"5y\"")
            Err("time: invalid duration \"\"")
            Err("time: invalid duration \"-1s\"")"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn values() {
        let query = Query::parse(Some("watch=False&limit=x&a=1&a=2&labelSelector=a+in+%28b%29&broken=%2&verbose"));
        assert_eq!(query.truth("watch"), Some(false));
        assert_eq!(query.number("limit").unwrap_err(), r#"strconv.ParseInt: parsing "x": invalid syntax"#);
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.text("labelSelector"), "a in (b)");
        assert!(!query.has("broken") && query.has("verbose"));
        assert_eq!(escape("a b/ü"), "a%20b%2F%C3%BC");
    }
}
