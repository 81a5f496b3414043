//! LimitRanger: a namespace's limit ranges fill in what containers ask for and say how much is too much.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::{Object, Quantity, Status, Value, meta};

use super::{Context, Operation, Plugin, Request};

/// Tells people which requests and limits they did not write themselves.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub const PLUGIN: Plugin = Plugin { name: "LimitRanger", admit: Some(admit), validate: Some(validate) };

type Quantities = BTreeMap<String, Quantity>;

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if sizes_pod(request) {
        for range in ranges(request, context) {
            set_defaults(request.object, &range);
        }
    }
    Ok(())
}

/// Whether the request says what a pod's containers ask for. Ordinary updates cannot change that, so only creation and
/// the subresource made for it (KEP-1287) count.
fn sizes_pod(request: &Request<'_>) -> bool {
    match request.operation {
        Operation::Create => request.is("", "pods"),
        Operation::Update => request.is_part("", "pods", "resize") && !is_leaving(request),
        _ => false,
    }
}

/// What is on its way out may be written so that it can go.
fn is_leaving(request: &Request<'_>) -> bool {
    request.old.is_some_and(meta::is_deleting)
}

fn validate(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let makes_pod = sizes_pod(request);
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let writes_claim = writes && request.is("", "persistentvolumeclaims") && !is_leaving(request);
    if !makes_pod && !writes_claim {
        return Ok(());
    }
    for range in ranges(request, context) {
        let limits = range.items_at(&["spec", "limits"]).iter();
        let check = if makes_pod { check_pod } else { check_claim };
        let mut told = std::collections::BTreeSet::new();
        let errors = limits.flat_map(|limit| check(request.object, limit));
        let errors: Vec<String> = errors.filter(|error| told.insert(error.clone())).collect();
        match errors.as_slice() {
            [] => {}
            [one] => return Err(request.forbidden(one)),
            many => return Err(request.forbidden(format!("[{}]", many.join(", ")))),
        }
    }
    Ok(())
}

fn ranges(request: &Request<'_>, context: &Context<'_>) -> Vec<Arc<Value>> {
    context.objects.list("", "limitranges", request.namespace)
}

fn set_defaults(pod: &mut Value, range: &Value) {
    let limits = range.items_at(&["spec", "limits"]).iter();
    let mut defaults: Vec<(&str, &Object)> = Vec::new();
    for limit in limits.filter(|limit| limit.str_at(&["type"]) == Some("Container")) {
        for (field, set) in [("defaultRequest", "requests"), ("default", "limits")] {
            defaults.extend(limit.get(field).and_then(Value::as_object).map(|amounts| (set, amounts)));
        }
    }
    let mut told = Vec::new();
    for (list, noun) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            told.extend(set_container_defaults(container, noun, &defaults));
        }
    }
    if !told.is_empty() {
        meta::set_annotation(pod, ANNOTATION, &format!("LimitRanger plugin set: {}", told.join("; ")));
    }
}

fn set_container_defaults(container: &mut Value, noun: &str, defaults: &[(&str, &Object)]) -> Vec<String> {
    let mut told = Vec::new();
    for (field, word) in [("requests", "request"), ("limits", "limit")] {
        let mut set = Vec::new();
        for (name, amount) in defaults.iter().filter(|(set, _)| *set == field).flat_map(|(_, amounts)| amounts.iter()) {
            let place = ["resources", field, name.as_str()];
            if container.at(&place).is_none() {
                container.set_at(&place, amount.clone());
                set.push(name.to_string());
            }
        }
        set.sort();
        if !set.is_empty() {
            let name = container.str_at(&["name"]).unwrap_or_default();
            told.push(format!("{} {word} for {noun} {name}", set.join(", ")));
        }
    }
    told
}

fn check_pod(pod: &Value, limit: &Value) -> Vec<String> {
    let kind = limit.str_at(&["type"]).unwrap_or_default();
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| pod.items_at(&["spec", list]));
    match kind {
        "Container" => containers
            .flat_map(|c| check_amounts(kind, limit, &amounts(c, "requests"), &amounts(c, "limits")))
            .collect(),
        "Pod" => check_amounts(kind, limit, &total(pod, "requests"), &total(pod, "limits")),
        _ => Vec::new(),
    }
}

fn check_claim(claim: &Value, limit: &Value) -> Vec<String> {
    let kind = limit.str_at(&["type"]).unwrap_or_default();
    if kind != "PersistentVolumeClaim" {
        return Vec::new();
    }
    let asked = quantities(claim.at(&["spec", "resources", "requests"]));
    let minimum = constraints(limit, "min").into_iter().filter_map(|(name, least)| {
        let how = too_little(least, asked.get(&name), None)?;
        Some(format!("minimum {name} usage per {kind} is {least}{how}"))
    });
    let maximum = constraints(limit, "max").into_iter().filter_map(|(name, most)| {
        let how = match asked.get(&name) {
            None => ".  No request is specified".to_owned(),
            Some(asked) if *asked > most => format!(", but request is {asked}"),
            Some(_) => return None,
        };
        Some(format!("maximum {name} usage per {kind} is {most}{how}"))
    });
    minimum.chain(maximum).collect()
}

/// What breaks the limit's least, most and ratio, in this order.
fn check_amounts(kind: &str, limit: &Value, requests: &Quantities, limits: &Quantities) -> Vec<String> {
    let minimum = constraints(limit, "min").into_iter().filter_map(|(name, least)| {
        let how = too_little(least, requests.get(&name), limits.get(&name))?;
        Some(format!("minimum {name} usage per {kind} is {least}{how}"))
    });
    let maximum = constraints(limit, "max").into_iter().filter_map(|(name, most)| {
        let how = too_much(most, requests.get(&name), limits.get(&name))?;
        Some(format!("maximum {name} usage per {kind} is {most}{how}"))
    });
    let ratio = constraints(limit, "maxLimitRequestRatio").into_iter().filter_map(|(name, most)| {
        let how = too_steep(most, requests.get(&name), limits.get(&name))?;
        Some(format!("{name} max limit to request ratio per {kind} is {most}, but {how}"))
    });
    minimum.chain(maximum).chain(ratio).collect()
}

fn too_little(least: Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    match (request, limit) {
        (None, _) => Some(".  No request is specified".to_owned()),
        (Some(request), _) if *request < least => Some(format!(", but request is {request}")),
        (_, Some(limit)) if *limit < least => Some(format!(", but limit is {limit}")),
        _ => None,
    }
}

fn too_much(most: Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    match (request, limit) {
        (_, None) => Some(".  No limit is specified".to_owned()),
        (_, Some(limit)) if *limit > most => Some(format!(", but limit is {limit}")),
        (Some(request), _) if *request > most => Some(format!(", but request is {request}")),
        _ => None,
    }
}

fn too_steep(most: Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some("no request is specified or request is 0".to_owned());
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some("no limit is specified or limit is 0".to_owned());
    };
    let ratio = limit.to_f64() / request.to_f64();
    (ratio > most.to_f64()).then(|| format!("provided ratio is {ratio:.6}"))
}

fn constraints(limit: &Value, field: &str) -> Quantities {
    quantities(limit.get(field))
}

fn amounts(container: &Value, field: &str) -> Quantities {
    quantities(container.at(&["resources", field]))
}

fn quantities(amounts: Option<&Value>) -> Quantities {
    let amounts = amounts.and_then(Value::as_object).into_iter().flat_map(Object::iter);
    amounts.filter_map(|(name, amount)| Some((name.to_string(), amount.as_str()?.parse().ok()?))).collect()
}

/// What a pod needs at once: its containers and sidecars together, or the neediest init container beside the sidecars
/// that run before it (KEP-753).
fn total(pod: &Value, field: &str) -> Quantities {
    let (mut sidecars, mut peak) = (Quantities::new(), Quantities::new());
    for container in pod.items_at(&["spec", "initContainers"]) {
        let mut now = amounts(container, field);
        if container.str_at(&["restartPolicy"]) == Some("Always") {
            add(&mut sidecars, &now);
            now.clone_from(&sidecars);
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut peak, &now);
    }
    for container in pod.items_at(&["spec", "containers"]) {
        add(&mut sidecars, &amounts(container, field));
    }
    raise(&mut peak, &sidecars);
    // What the whole pod asks for stands above its containers (KEP-2837).
    peak.extend(quantities(pod.at(&["spec", "resources", field])));
    peak
}

fn add(sum: &mut Quantities, more: &Quantities) {
    for (name, amount) in more {
        sum.entry(name.clone()).and_modify(|sum| *sum = sum.add(*amount)).or_insert(*amount);
    }
}

fn raise(peak: &mut Quantities, other: &Quantities) {
    for (name, amount) in other {
        peak.entry(name.clone()).and_modify(|peak| *peak = (*peak).max(*amount)).or_insert(*amount);
    }
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    fn make(limit: Value, resource: &str, spec: Value) -> String {
        let range = value!({"metadata": {"namespace": "ns", "name": "lr"}, "spec": {"limits": [limit]}});
        let objects = Objects::default().with("", "limitranges", range);
        let mut object = value!({"metadata": {"name": "a"}, "spec": spec});
        ask(&PLUGIN, &mut request(Operation::Create, ("", resource), &mut object, None, &User::anonymous()), &objects)
    }

    #[test]
    fn ranges() {
        let container = |resources: Value| value!({"containers": [{"name": "c", "resources": resources}]});
        let pod = |limit: Value, resources: Value| make(limit, "pods", container(resources));
        let defaults =
            value!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m", "memory": "64Mi"}});
        let ends = || value!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}});
        let ratio = || value!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}});
        let claim = || value!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}});
        let storage = |size: &str| value!({"resources": {"requests": {"storage": size}}});
        let shown = [
            pod(defaults, value!({"limits": {"cpu": "2"}})),
            pod(ends(), value!({})),
            pod(ends(), value!({"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}})),
            pod(ends(), value!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}})),
            pod(ratio(), value!({"requests": {"cpu": "1"}, "limits": {"cpu": "3"}})),
            pod(value!({"type": "Pod", "max": {"cpu": "1"}}), value!({"limits": {"cpu": "2"}})),
            make(claim(), "persistentvolumeclaims", storage("3Gi")),
            make(claim(), "persistentvolumeclaims", storage("1Mi")),
            make(claim(), "persistentvolumeclaims", storage("2Gi")),
        ];
        expect_test::expect![[r#"
            {"metadata":{"name":"a","annotations":{"kubernetes.io/limit-ranger":"LimitRanger plugin set: cpu, memory request for container c"}},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"2"},"requests":{"cpu":"500m","memory":"64Mi"}}}]}}
            403 pods "a" is forbidden: [minimum cpu usage per Container is 100m.  No request is specified, maximum cpu usage per Container is 1.  No limit is specified]
            403 pods "a" is forbidden: [minimum cpu usage per Container is 100m, but request is 50m, maximum cpu usage per Container is 1, but limit is 2]
            {"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"},"limits":{"cpu":"1"}}}]}}
            403 pods "a" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000
            403 pods "a" is forbidden: maximum cpu usage per Pod is 1, but limit is 2
            403 persistentvolumeclaims "a" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi
            403 persistentvolumeclaims "a" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi
            {"metadata":{"name":"a"},"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#]].assert_eq(&shown.join("\n"));
    }
}
