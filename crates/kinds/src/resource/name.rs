//! Names of drivers, pools, devices and their attributes.

use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::text;

const MAX_DRIVER_BYTES: usize = 63;
const MAX_POOL_BYTES: usize = 253;
const MAX_ID_BYTES: usize = 32;
const UUID_BYTES: usize = 36;

/// What is wrong with the name of a driver.
pub(super) fn driver(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > MAX_DRIVER_BYTES {
        errors.push(Error::too_long(path, MAX_DRIVER_BYTES));
    }
    let problems = names::is_dns1123_subdomain(&name.to_lowercase());
    errors.extend(problems.into_iter().map(|problem| Error::invalid(path, name, problem)));
    errors
}

/// What is wrong with the name of a pool.
pub(super) fn pool(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > MAX_POOL_BYTES {
        errors.push(Error::too_long(path, MAX_POOL_BYTES));
    }
    errors.extend(name.split('/').flat_map(|part| text(names::is_dns1123_subdomain, part, path).collect::<Errors>()));
    errors
}

/// What is wrong with a name that is a label of DNS: of a request, a device, a counter.
pub(super) fn label(name: &str, path: &Path) -> Errors {
    text(names::is_dns1123_label, name, path).collect()
}

/// What is wrong with the name of a class.
pub(super) fn class(name: &str, path: &Path) -> Errors {
    match name {
        "" => vec![Error::required(path, "")],
        _ => text(names::is_dns1123_subdomain, name, path).collect(),
    }
}

/// What is wrong with the name of an attribute or a capacity, with or without its domain.
pub(super) fn qualified(name: &str, path: &Path) -> Errors {
    let Some((domain, id)) = name.split_once('/') else { return identifier(name, path) };
    if id.contains('/') {
        return vec![Error::invalid(path, name, "must not contain more than one slash")];
    }
    let mut errors = match domain {
        "" => vec![Error::invalid(path, "", "the domain must not be empty")],
        _ => driver(domain, path),
    };
    match id {
        "" => errors.push(Error::invalid(path, "", "the name must not be empty")),
        _ => errors.extend(identifier(id, path)),
    }
    errors
}

/// What is wrong with the name of an attribute that must have its domain.
pub(super) fn fully_qualified(name: &str, path: &Path) -> Errors {
    let mut errors = qualified(name, path);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(Error::invalid(path, name, detail));
    }
    errors
}

fn identifier(id: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if id.len() > MAX_ID_BYTES {
        errors.push(Error::too_long(path, MAX_ID_BYTES));
    }
    errors.extend(text(names::is_c_identifier, id, path));
    errors
}

/// What is wrong with the UID of a share (RFC 4122).
pub(super) fn uid(uid: &str, path: &Path) -> Option<Error> {
    let hexadecimal = uid.bytes().enumerate().all(|(i, byte)| match i {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    let detail = match uid.len() {
        UUID_BYTES if hexadecimal && uid == uid.to_lowercase() => return None,
        UUID_BYTES if hexadecimal => {
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal \
             characters"
                .to_owned()
        }
        UUID_BYTES => "error validating uid: invalid UUID format".to_owned(),
        length => format!("error validating uid: invalid UUID length: {length}"),
    };
    Some(Error::invalid(path, uid, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field::aggregate;

    #[test]
    fn names_of_attributes() {
        let table = ["a", "dra.example.com/a", "/a", "a/", "a/b/c", "a-b"];
        let shown = table.map(|name| aggregate(&fully_qualified(name, &Path::new("n")))).join("\n");
        expect_test::expect![[r#"
            n: Invalid value: "a": a fully qualified name must be a domain and a name separated by a slash
            []
            n: Invalid value: "": the domain must not be empty
            n: Invalid value: "": the name must not be empty
            n: Invalid value: "a/b/c": must not contain more than one slash
            [n: Invalid value: "a-b": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*'), n: Invalid value: "a-b": a fully qualified name must be a domain and a name separated by a slash]"#]]
        .assert_eq(&shown);
    }
}
