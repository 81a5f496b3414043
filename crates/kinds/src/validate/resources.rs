//! Amounts of resources: names, signs, requests against limits.

use machinery::field::{Error, Errors, Path};
use machinery::{Quantity, Value, names};

use super::NEGATIVE;
use super::metadata::sorted;
use crate::pod_spec::quantity;

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What is wrong with the resources of a container in a pod that has the claims `known`, sorted.
#[must_use]
pub fn requirements(resources: &Value, known: &[&str], path: &Path) -> Errors {
    let mut errors = list(resources, "limits", path);
    let requests_path = path.child("requests");
    for (name, amount) in sorted(resources.get("requests").and_then(Value::as_object)) {
        errors.extend(container_resource(name, amount, &requests_path.key(name)));
        errors.extend(against_limit(resources, name, amount, &requests_path));
    }
    errors.extend(huge_pages_alone(resources, path));
    errors.extend(claims(resources, known, &path.child("claims")));
    errors
}

/// What is wrong with a list of amounts as containers have it.
#[must_use]
pub fn list(resources: &Value, field: &str, path: &Path) -> Errors {
    let path = path.child(field);
    let members = sorted(resources.get(field).and_then(Value::as_object));
    members.into_iter().flat_map(|(name, amount)| container_resource(name, amount, &path.key(name))).collect()
}

/// What is wrong with one amount of a container.
#[must_use]
pub fn container_resource(name: &str, amount: &Value, path: &Path) -> Errors {
    let mut errors = container_resource_name(name, path);
    errors.extend(amount_of(name, amount, path));
    errors.extend(quantity(amount).and_then(|amount| whole_huge_pages(name, amount, path)));
    errors
}

/// Huge pages come in whole pages.
fn whole_huge_pages(name: &str, amount: Quantity, path: &Path) -> Option<Error> {
    let page = Quantity::parse(name.strip_prefix("hugepages-")?).ok();
    let page = page.filter(|page| page.sign() > 0 && page.is_whole());
    let whole = page.is_some_and(|page| amount.value() % page.value() == 0);
    let detail = format!("{amount} is not positive integer multiple of {name}");
    (!whole).then(|| Error::invalid(path, amount.to_string(), detail))
}

/// What is wrong with an amount: negative, or a part of something that has none.
#[must_use]
pub fn amount_of(name: &str, amount: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(amount) = quantity(amount) else { return errors };
    if amount.sign() < 0 {
        errors.push(Error::invalid(path, amount.to_string(), NEGATIVE));
    }
    if is_integer_resource(name) && !has_whole_milli(&amount) {
        errors.push(Error::invalid(path, amount.to_string(), "must be an integer"));
    }
    errors
}

/// Whether amounts of the resource come in whole numbers only.
#[must_use]
pub fn is_integer_resource(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "services"
            | "replicationcontrollers"
            | "resourcequotas"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || is_extended(name)
}

/// Whether the resource is one that a device plugin or an administrator adds to nodes.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether the resource belongs to Kubernetes itself.
#[must_use]
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// What is wrong with a resource's name.
#[must_use]
pub fn resource_name(name: &str, path: &Path) -> Errors {
    let mut errors: Errors = super::text(names::is_qualified_name, name, path).collect();
    if errors.is_empty() && !name.contains('/') && !is_standard(name) {
        errors.push(Error::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
    errors
}

/// What is wrong with the name of a resource of containers.
#[must_use]
pub fn container_resource_name(name: &str, path: &Path) -> Errors {
    let mut errors = resource_name(name, path);
    if !name.contains('/') {
        let known = STANDARD.contains(&name) || name.starts_with("hugepages-");
        if !known {
            errors.push(Error::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(Error::invalid(path, name, "doesn't follow extended resource name standard"));
    }
    errors
}

/// Whether the resource is memory in huge pages, by itself or as a quota names it.
#[must_use]
pub fn is_huge_pages(name: &str) -> bool {
    name.strip_prefix("requests.").unwrap_or(name).starts_with("hugepages-")
}

fn is_standard(name: &str) -> bool {
    is_huge_pages(name)
        || STANDARD.contains(&name)
        || matches!(
            name,
            "requests.cpu"
                | "requests.memory"
                | "requests.ephemeral-storage"
                | "limits.cpu"
                | "limits.memory"
                | "limits.ephemeral-storage"
                | "pods"
                | "services"
                | "replicationcontrollers"
                | "resourcequotas"
                | "secrets"
                | "configmaps"
                | "persistentvolumeclaims"
                | "storage"
                | "requests.storage"
                | "services.nodeports"
                | "services.loadbalancers"
        )
}

/// Whether an amount in thousandths is a whole number.
fn has_whole_milli(amount: &Quantity) -> bool {
    amount.milli_value() % 1000 == 0
}

fn against_limit(resources: &Value, name: &str, amount: &Value, path: &Path) -> Option<Error> {
    let may_exceed = is_over_committed(name);
    let Some(limit) = resources.at(&["limits", name]).and_then(quantity) else {
        let limits = Path::new(path.as_str().trim_end_matches("requests").to_owned() + "limits");
        let detail = "Limit must be set for non overcommitable resources";
        return (!may_exceed).then(|| Error::required(&limits, detail));
    };
    let amount = quantity(amount)?;
    if !may_exceed && amount != limit {
        let detail = format!("must be equal to {name} limit of {limit}");
        return Some(Error::invalid(path, amount.to_string(), detail));
    }
    let detail = format!("must be less than or equal to {name} limit of {limit}");
    (amount > limit).then(|| Error::invalid(path, amount.to_string(), detail))
}

/// Whether a node may promise more of the resource than it has.
#[must_use]
pub fn is_over_committed(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

/// Each claim once as a whole, or once for each of its requests; all of them are the pod's.
fn claims(resources: &Value, known: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, claim) in resources.items_at(&["claims"]).iter().enumerate() {
        let path = path.index(i);
        let name = claim.str_at(&["name"]).unwrap_or_default();
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let request = claim.str_at(&["request"]).unwrap_or_default();
        if seen.contains(&(name, "")) {
            errors.push(Error::duplicate(&path, name));
        } else {
            if !request.is_empty() {
                errors.extend(super::text(names::is_dns1123_label, request, &path.child("request")));
            }
            if seen.contains(&(name, request)) {
                errors.push(Error::duplicate(&path, format!("{name}/{request}")));
            } else if request.is_empty() {
                let parts = seen.iter().filter(|(other, _)| *other == name);
                errors.extend(parts.map(|_| Error::duplicate(&path, name)));
            }
            seen.push((name, request));
        }
        if !known.contains(&name) {
            let list = if known.is_empty() { " which is empty".to_owned() } else { format!(": {}", known.join(", ")) };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{list}");
            errors.push(Error { detail, ..Error::not_found(&path, name) });
        }
    }
    errors
}

fn huge_pages_alone(resources: &Value, path: &Path) -> Option<Error> {
    let has = |want: fn(&str) -> bool| {
        ["limits", "requests"].iter().any(|list| {
            let members = resources.get(list).and_then(Value::as_object);
            members.into_iter().flat_map(machinery::Object::keys).any(|name| want(name))
        })
    };
    let detail = "HugePages require cpu or memory";
    let alone = has(|name| name.starts_with("hugepages-")) && !has(|name| matches!(name, "cpu" | "memory"));
    alone.then(|| Error::forbidden(path, detail))
}
