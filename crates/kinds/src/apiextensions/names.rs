//! The names of a custom kind.

use machinery::Value;
use machinery::field::{Error, Errors, Path};
use machinery::names;

/// What is wrong with names as far as they are there.
pub(super) fn check(all: &Value, path: &Path) -> Errors {
    let part = |field: &str| all.str_at(&[field]).unwrap_or_default();
    let mut errors = Errors::new();
    for field in ["plural", "singular"] {
        if !part(field).is_empty() {
            errors.extend(label(part(field), "", &path.child(field)));
        }
    }
    for field in ["kind", "listKind"] {
        let name = part(field);
        let problems = if name.is_empty() { Vec::new() } else { names::is_dns1035_label(&name.to_lowercase()) };
        if !problems.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
            errors.push(Error::invalid(&path.child(field), name, detail));
        }
    }
    errors.extend(list(all, "shortNames", path));
    if !part("kind").is_empty() && part("kind") == part("listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(Error::invalid(&path.child("listKind"), part("listKind"), detail));
    }
    errors.extend(list(all, "categories", path));
    errors
}

/// What is wrong with names that a definition must have.
pub(super) fn check_present(all: &Value, path: &Path) -> Errors {
    let fields = ["plural", "singular", "kind", "listKind"].into_iter();
    fields.filter_map(|field| crate::validate::required(all.str_at(&[field]), &path.child(field), "")).collect()
}

/// What is wrong with a label of DNS (RFC 1035): all problems in one message.
pub(super) fn label(name: &str, introduction: &str, path: &Path) -> Option<Error> {
    let problems = names::is_dns1035_label(name);
    let detail = format!("{introduction}{}", problems.join(","));
    (!problems.is_empty()).then(|| Error::invalid(path, name, detail))
}

fn list(all: &Value, field: &str, path: &Path) -> Errors {
    let names = all.items_at(&[field]).iter().filter_map(Value::as_str).enumerate();
    names.filter_map(|(i, name)| label(name, "", &path.child(field).index(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn names_of_kinds() {
        let all = value!({"plural": "Bad", "kind": "Same", "listKind": "Same", "shortNames": ["ok", "N"]});
        let shown = field::aggregate(&check(&all, &Path::new("n"))).replace(": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')", ": …");
        expect_test::expect![[r#"[n.plural: Invalid value: "Bad": …, n.shortNames[1]: Invalid value: "N": …, n.listKind: Invalid value: "Same": kind and listKind may not be the same]"#]]
        .assert_eq(&shown);
    }
}
