//! How a server outside is reached: by URL or by service.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

const FORM: &str = "; desired format: https://host[/path]";

/// What is wrong with a `clientConfig` of an admission webhook.
#[must_use]
pub fn client_config(config: &Value, path: &Path) -> Errors {
    let url = config.str_at(&["url"]);
    match (url, config.get("service").filter(|service| !service.is_null())) {
        (Some(address), None) => self::url(address, &path.child("url")),
        (None, Some(service)) => self::service(service, &path.child("service")),
        _ => vec![Error::required(path, "exactly one of url or service is required")],
    }
}

/// What is wrong with an address, which must be of HTTPS.
#[must_use]
pub fn url(address: &str, path: &Path) -> Errors {
    let parts = match Parts::of(address) {
        Ok(parts) => parts,
        Err(why) => return vec![Error::required(path, format!("url must be a valid URL: {why}{FORM}"))],
    };
    let mut errors = Errors::new();
    let mut wrong = |value: &str, detail: &str| errors.push(Error::invalid(path, value, detail));
    if parts.scheme != "https" {
        wrong(&parts.scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if parts.host.is_empty() {
        wrong("", &format!("host must be specified{FORM}"));
    }
    if let Some(user) = parts.user {
        wrong(user, "user information is not permitted in the URL");
    }
    if !parts.fragment.is_empty() {
        wrong(parts.fragment, "fragments are not permitted in the URL");
    }
    if !parts.query.is_empty() {
        wrong(parts.query, "query parameters are not permitted in the URL");
    }
    errors
}

/// What is wrong with a reference to a service with name, namespace, port and path.
#[must_use]
pub fn service(service: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["name", "namespace"] {
        if service.str_at(&[field]).is_none_or(str::is_empty) {
            errors.push(Error::required(&path.child(field), format!("service {field} is required")));
        }
    }
    let port = service.int_at(&["port"]).unwrap_or_default();
    let problems = names::is_port(port);
    if !problems.is_empty() {
        let detail = format!("port is not valid: {}", problems.join(","));
        errors.push(Error::invalid(&path.child("port"), port, detail));
    }
    if let Some(place) = service.str_at(&["path"]) {
        errors.extend(url_path(place, &path.child("path")));
    }
    errors
}

fn url_path(place: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if matches!(place, "" | "/") {
        return errors;
    }
    if place == "//" {
        return vec![Error::invalid(path, place, "segment[0] may not be empty")];
    }
    if !place.starts_with('/') {
        errors.push(Error::invalid(path, place, "must start with a '/'"));
    }
    let first = place.chars().next().map_or(0, char::len_utf8);
    let rest = &place[first..];
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.push(Error::invalid(path, place, format!("segment[{i}] may not be empty")));
            continue;
        }
        for problem in names::is_dns1123_subdomain(step) {
            errors.push(Error::invalid(path, place, format!("segment[{i}]: {problem}")));
        }
    }
    errors
}

/// The parts of a URL (RFC 3986) that the checks look at.
struct Parts<'a> {
    scheme: String,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(address: &'a str) -> Result<Self, String> {
        let quoted = || machinery::field::quote(address);
        if address.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(format!("parse {}: net/url: invalid control character in URL", quoted()));
        }
        let (rest, fragment) = address.split_once('#').unwrap_or((address, ""));
        let (scheme, rest) = scheme(rest).map_err(|why| format!("parse {}: {why}", quoted()))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default());
        let (user, host) = match authority.unwrap_or_default().rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.unwrap_or_default()),
        };
        let port = match (host.starts_with('['), host.rfind(']'), host.rfind(':')) {
            (true, None, _) => return Err(format!("parse {}: missing ']' in host", quoted())),
            (true, Some(end), _) => &host[end + 1..],
            (false, _, Some(colon)) => &host[colon..],
            (false, _, None) => "",
        };
        let number = port.strip_prefix(':').unwrap_or(if port.is_empty() { "" } else { "?" });
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            let port = machinery::field::quote(port);
            return Err(format!("parse {}: invalid port {port} after host", quoted()));
        }
        let place = authority.map_or(rest, |authority| &rest["//".len() + authority.len()..]);
        if let Some(escape) = wrong_escape(place) {
            return Err(format!("parse {}: invalid URL escape {}", quoted(), machinery::field::quote(escape)));
        }
        if host.contains(' ') {
            return Err(format!("parse {}: invalid character \" \" in host name", quoted()));
        }
        Ok(Self { scheme, user, host, query, fragment })
    }
}

/// The first percent sign without two hexadecimal digits behind it, and what stands there instead.
fn wrong_escape(text: &str) -> Option<&str> {
    let after = |at: usize| text[at..].char_indices().nth(3).map_or(&text[at..], |(end, _)| &text[at..at + end]);
    let mut escapes = text.match_indices('%').map(|(at, _)| after(at));
    escapes.find(|escape| escape.len() != 3 || !escape[1..].bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Splits off what stands before the first colon, if it can be a scheme.
fn scheme(text: &str) -> Result<(String, &str), &'static str> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((text[..i].to_lowercase(), &text[i + 1..])),
            _ => break,
        }
    }
    let before_slash = text.split('/').next().unwrap_or_default();
    if before_slash.contains(':') {
        return Err("first path segment in URL cannot contain colon");
    }
    Ok((String::new(), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn addresses() {
        let table = [
            "https://[::1/",
            "https://[::1]x/",
            "https://[::1]:8443/",
            "https://a/%zz",
            "https://a/%41",
            "https://a.b/c",
            "http://a",
            "https://",
            "https://u:p@h/x?q=1#f",
            ":x",
            "https://h:p/",
        ];
        let shown = table.map(|address| field::aggregate(&url(address, &Path::new("u")))).join("\n");
        expect_test::expect![[r#"
            u: Required value: url must be a valid URL: parse "https://[::1/": missing ']' in host; desired format: https://host[/path]
            u: Required value: url must be a valid URL: parse "https://[::1]x/": invalid port "x" after host; desired format: https://host[/path]
            []
            u: Required value: url must be a valid URL: parse "https://a/%zz": invalid URL escape "%zz"; desired format: https://host[/path]
            []
            []
            u: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]
            u: Invalid value: "": host must be specified; desired format: https://host[/path]
            [u: Invalid value: "u:p": user information is not permitted in the URL, u: Invalid value: "f": fragments are not permitted in the URL, u: Invalid value: "q=1": query parameters are not permitted in the URL]
            u: Required value: url must be a valid URL: parse ":x": missing protocol scheme; desired format: https://host[/path]
            u: Required value: url must be a valid URL: parse "https://h:p/": invalid port ":p" after host; desired format: https://host[/path]"#]]
        .assert_eq(&shown);
    }

    #[test]
    fn services() {
        let table = [
            value!({"port": 0, "path": "a//b/"}),
            value!({"name": "n", "namespace": "m", "port": 443, "path": "/ok/x"}),
            value!({"name": "n", "namespace": "m", "port": 443, "path": "//"}),
        ];
        let shown = table.map(|one| field::aggregate(&service(&one, &Path::new("s")))).join("\n");
        expect_test::expect![[r#"
            [s.name: Required value: service name is required, s.namespace: Required value: service namespace is required, s.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive, s.path: Invalid value: "a//b/": must start with a '/', s.path: Invalid value: "a//b/": segment[0] may not be empty, s.path: Invalid value: "a//b/": segment[1] may not be empty]
            []
            s.path: Invalid value: "//": segment[0] may not be empty"#]]
        .assert_eq(&shown);
    }
}
