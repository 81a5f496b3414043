//! Environment variables from files that another container of the pod wrote (KEP-3721).

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use super::containers::no_back_steps;
use super::filled;
use crate::pod_spec::default::CONTAINER_LISTS;
use crate::validate::text;

/// What is wrong with a field's text.
type Check = fn(&str, &Path) -> Errors;

/// What is wrong with a reference to a key of a file.
pub(super) fn reference(reference: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let fields: [(&str, Check); 3] = [
        ("key", |key, path| text(names::is_relaxed_env_var_name, key, path).collect()),
        ("volumeName", |name, path| text(names::is_dns1123_label, name, path).collect()),
        ("path", |place, path| no_back_steps(place, path).into_iter().collect()),
    ];
    for (field, check) in fields {
        let path = path.child(field);
        match filled(reference, field) {
            None => errors.push(Error::required(&path, "")),
            Some(value) => errors.extend(check(value, &path)),
        }
    }
    errors
}

/// Such files lie in volumes that are empty when the pod starts.
pub(super) fn volumes(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for list in CONTAINER_LISTS {
        for (i, container) in spec.items_at(&[list]).iter().enumerate() {
            let path = path.child(list).index(i).child("env");
            for (j, variable) in container.items_at(&["env"]).iter().enumerate() {
                let source = variable.at(&["valueFrom", "fileKeyRef"]).filter(|source| !source.is_null());
                let path = path.index(j).child("valueFrom.fileKeyRef.volumeName");
                errors.extend(source.and_then(|source| volume(spec, source, &path)));
            }
        }
    }
    errors
}

fn volume(spec: &Value, source: &Value, path: &Path) -> Option<Error> {
    let name = source.str_at(&["volumeName"]).unwrap_or_default();
    let named = |volume: &&Value| volume.str_at(&["name"]).unwrap_or_default() == name;
    let Some(volume) = spec.items_at(&["volumes"]).iter().rfind(named) else {
        return Some(Error::not_found(path, name));
    };
    let empty = volume.get("emptyDir").is_some_and(|source| !source.is_null());
    (!empty).then(|| Error::invalid(path, name, "referenced volume must be of type emptyDir"))
}
