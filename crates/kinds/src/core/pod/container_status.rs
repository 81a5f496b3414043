//! What the status of a container says of its user and of its devices' health (KEP-3619, KEP-4680).

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use crate::validate::one_of;

const LISTS: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", ""),
];
const MAX_MESSAGE_BYTES: usize = 1024;

/// What is wrong with the users that containers run as.
pub(super) fn users(pod: &Value, path: &Path) -> Errors {
    let windows = pod.str_at(&["spec", "os", "name"]) == Some("windows");
    let mut errors = Errors::new();
    for (list, _) in LISTS {
        for (i, status) in pod.items_at(&["status", list]).iter().enumerate() {
            let Some(user) = status.at(&["user", "linux"]).filter(|user| !user.is_null()) else { continue };
            let path = path.child(list).index(i).child("user.linux");
            if windows {
                errors.push(Error::forbidden(&path, "cannot be set for a windows pod"));
                continue;
            }
            for field in ["uid", "gid"] {
                errors.extend(id(user.int_at(&[field]).unwrap_or_default(), &path.child(field)));
            }
            for (i, group) in user.items_at(&["supplementalGroups"]).iter().filter_map(Value::as_i64).enumerate() {
                errors.extend(id(group, &path.child("supplementalGroups").index(i)));
            }
        }
    }
    errors
}

fn id(id: i64, path: &Path) -> Errors {
    names::is_user_id(id).into_iter().map(|m| Error::invalid(path, id, m)).collect()
}

/// What is wrong with the health of allocated resources.
pub(super) fn resources(pod: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (list, containers) in LISTS {
        for (i, status) in pod.items_at(&["status", list]).iter().enumerate() {
            let path = path.child(list).index(i).child("allocatedResourcesStatus");
            let all = status.items_at(&["allocatedResourcesStatus"]);
            if containers.is_empty() {
                let detail = "must not be specified in container status";
                errors.extend((!all.is_empty()).then(|| Error::forbidden(&path, detail)));
                continue;
            }
            let mut specs = pod.items_at(&["spec", containers]).iter();
            let container = specs.find(|container| container.get("name") == status.get("name"));
            for (j, allocated) in all.iter().enumerate() {
                errors
                    .extend(container.and_then(|container| named(container, allocated, &path.index(j).child("name"))));
                errors.extend(healths(allocated, &path.index(j).child("resources")));
            }
        }
    }
    errors
}

/// The name is that of a claim or of a request of the container.
fn named(container: &Value, allocated: &Value, path: &Path) -> Option<Error> {
    let name = allocated.str_at(&["name"]).unwrap_or_default();
    let claims = container.items_at(&["resources", "claims"]).iter().map(|claim| {
        let part = |field: &str| claim.str_at(&[field]).filter(|text| !text.is_empty());
        let request = part("request").map(|request| format!("/{request}")).unwrap_or_default();
        format!("claim:{}{request}", part("name").unwrap_or_default())
    });
    let (found, detail) = if name.starts_with("claim:") {
        let detail = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
        (claims.into_iter().any(|claim| claim == name), detail)
    } else {
        let found = container.at(&["resources", "requests", name]).is_some();
        (found, "must match one of the container's resource requests")
    };
    (!found).then(|| Error::invalid(path, name, detail))
}

fn healths(allocated: &Value, path: &Path) -> Errors {
    let all = allocated.items_at(&["resources"]);
    let mut errors = Errors::new();
    for (i, resource) in all.iter().enumerate() {
        let path = path.index(i);
        let health = resource.str_at(&["health"]).unwrap_or_default();
        errors.extend(one_of(health, &["Healthy", "Unhealthy", "Unknown"], &path.child("health")));
        match resource.str_at(&["message"]) {
            Some("") => errors.push(Error::required(&path.child("message"), "must be non-empty if specified")),
            Some(message) if message.len() > MAX_MESSAGE_BYTES => {
                errors.push(Error::too_long(&path.child("message"), MAX_MESSAGE_BYTES));
            }
            _ => {}
        }
        let id = resource.str_at(&["resourceID"]).unwrap_or_default();
        if all[..i].iter().any(|other| other.str_at(&["resourceID"]).unwrap_or_default() == id) {
            errors.push(Error::duplicate(&path.child("resourceID"), id));
        }
    }
    errors
}
