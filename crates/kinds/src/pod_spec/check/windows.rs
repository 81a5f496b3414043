//! What Windows containers say about who they run as.

use std::sync::LazyLock;

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};
use regex::Regex;

use crate::validate::text;

const MAX_CREDENTIAL_SPEC_KIB: usize = 64;
const MAX_DOMAIN_BYTES: usize = 256;
const MAX_USER_BYTES: usize = 104;
const DNS_LABEL: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
const NETBIOS: &str = r#"^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$"#;
const NOT_IN_USERS: &str = r#""/\:;|=,+*?<>@[]"#;

/// What is wrong with the `windowsOptions` of a security context.
pub(super) fn options(context: &Value, path: &Path) -> Errors {
    let path = path.child("windowsOptions");
    let Some(options) = context.get("windowsOptions").filter(|options| !options.is_null()) else {
        return Errors::new();
    };
    let mut errors = Errors::new();
    if let Some(name) = options.str_at(&["gmsaCredentialSpecName"]) {
        errors.extend(text(names::is_dns1123_subdomain, name, &path.child("gmsaCredentialSpecName")));
    }
    if let Some(spec) = options.str_at(&["gmsaCredentialSpec"]) {
        let field = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(Error::invalid(&field, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > MAX_CREDENTIAL_SPEC_KIB * 1024 {
            let detail = format!("gmsaCredentialSpec size must be under {MAX_CREDENTIAL_SPEC_KIB} KiB");
            errors.push(Error::invalid(&field, spec, detail));
        }
    }
    if let Some(name) = options.str_at(&["runAsUserName"]) {
        let field = path.child("runAsUserName");
        errors.extend(user_name(name).into_iter().map(|detail| Error::invalid(&field, name, detail)));
    }
    errors
}

/// What is wrong with a name that may have its domain before it.
fn user_name(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string".to_owned()];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters".to_owned()];
    }
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return vec!["runAsUserName cannot contain more than one backslash".to_owned()],
    };
    let mut problems: Vec<String> = domain.map(self::domain).unwrap_or_default();
    if user.is_empty() {
        problems.push("runAsUserName's User cannot be empty".to_owned());
    } else if user.len() > MAX_USER_BYTES {
        problems.push(format!("runAsUserName's User length must not be longer than {MAX_USER_BYTES} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        problems.push("runAsUserName's User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|c| NOT_IN_USERS.contains(c)) {
        problems.push(format!("runAsUserName's User cannot contain the following characters: {NOT_IN_USERS}"));
    }
    problems
}

fn domain(domain: &str) -> Vec<String> {
    static FORMS: LazyLock<[Regex; 2]> = LazyLock::new(|| {
        [NETBIOS.to_owned(), format!(r"^{DNS_LABEL}(?:\.{DNS_LABEL})*$")]
            .map(|form| Regex::new(&form).expect("a constant pattern, used by a test"))
    });
    let mut problems = Vec::new();
    if domain.len() >= MAX_DOMAIN_BYTES {
        problems.push(format!("runAsUserName's Domain length must be under {MAX_DOMAIN_BYTES} characters"));
    }
    if !FORMS.iter().any(|form| form.is_match(domain)) {
        problems.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn user_names() {
        let of = |name: &str| user_name(name).join("; ");
        assert_eq!(of("NT AUTHORITY\\NETWORK SERVICE"), "");
        assert_eq!(of("a\\b\\c"), "runAsUserName cannot contain more than one backslash");
        assert_eq!(
            of(".\\.."),
            "runAsUserName's Domain doesn't match the NetBios nor the DNS format; runAsUserName's User cannot contain only periods or spaces"
        );
        let context = machinery::value!({"windowsOptions": {"gmsaCredentialSpec": "", "runAsUserName": "a@b"}});
        expect_test::expect![[r#"[x.windowsOptions.gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an empty string, x.windowsOptions.runAsUserName: Invalid value: "a@b": runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]]"#]]
            .assert_eq(&field::aggregate(&options(&context, &Path::new("x"))));
    }
}
