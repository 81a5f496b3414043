//! Containers: names, images, ports, mounts, and what the three lists allow.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use super::{env, filled, probes, security};
use crate::pod_spec::is_sidecar;
use crate::validate::{one_of, resources, text};

/// What is wrong with the containers of a pod spec.
#[must_use]
pub fn all(spec: &Value, path: &Path) -> Errors {
    let volumes: Vec<&str> = spec.items_at(&["volumes"]).iter().filter_map(|v| v.str_at(&["name"])).collect();
    let mut errors = regular(spec, &volumes, &path.child("containers"));
    errors.extend(initial(spec, &volumes, &path.child("initContainers")));
    errors.extend(ephemeral(spec, &volumes, &path.child("ephemeralContainers")));
    errors.extend(host_network_ports(spec, path));
    errors
}

fn regular(spec: &Value, volumes: &[&str], path: &Path) -> Errors {
    let all = spec.items_at(&["containers"]);
    if all.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    for (i, container) in all.iter().enumerate() {
        let path = path.index(i);
        errors.extend(common(container, volumes, &path));
        errors.extend(duplicate_name(container, &all[..i], &path));
        errors.extend(probes::all(container, &path));
    }
    errors.extend(host_port_conflicts(all, path));
    errors
}

fn initial(spec: &Value, volumes: &[&str], path: &Path) -> Errors {
    let all = spec.items_at(&["initContainers"]);
    let mut errors = Errors::new();
    for (i, container) in all.iter().enumerate() {
        let path = path.index(i);
        errors.extend(common(container, volumes, &path));
        let earlier: Vec<Value> = spec.items_at(&["containers"]).iter().chain(&all[..i]).cloned().collect();
        errors.extend(duplicate_name(container, &earlier, &path));
        if is_sidecar(container) {
            errors.extend(probes::all(container, &path));
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.get(field).is_some_and(|value| !value.is_null()) {
                    let detail = "may not be set for init containers without restartPolicy=Always";
                    errors.push(Error::forbidden(&path.child(field), detail));
                }
            }
        }
        errors.extend(host_port_conflicts(std::slice::from_ref(container), &path.clone()));
    }
    errors
}

fn ephemeral(spec: &Value, volumes: &[&str], path: &Path) -> Errors {
    let all = spec.items_at(&["ephemeralContainers"]);
    let mut errors = Errors::new();
    for (i, container) in all.iter().enumerate() {
        let path = path.index(i);
        errors.extend(common(container, volumes, &path));
        let others = spec.items_at(&["containers"]).iter().chain(spec.items_at(&["initContainers"])).chain(&all[..i]);
        let others: Vec<Value> = others.cloned().collect();
        errors.extend(duplicate_name(container, &others, &path));
        let target = filled(container, "targetContainerName");
        let known = |name: &str| {
            let lists = ["containers", "initContainers"];
            lists.iter().any(|list| spec.items_at(&[list]).iter().any(|c| c.str_at(&["name"]) == Some(name)))
        };
        if let Some(target) = target.filter(|target| !known(target)) {
            errors.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        for field in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources"] {
            let set = match container.get(field) {
                None | Some(Value::Null) => false,
                Some(Value::Object(fields)) => field != "resources" || !fields.is_empty(),
                Some(Value::Array(items)) => !items.is_empty(),
                Some(_) => true,
            };
            if set {
                errors.push(Error::forbidden(&path.child(field), "cannot be set for an Ephemeral Container"));
            }
        }
    }
    errors
}

fn common(container: &Value, volumes: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    match filled(container, "name") {
        None => errors.push(Error::required(&path.child("name"), "")),
        Some(name) => errors.extend(text(names::is_dns1123_label, name, &path.child("name"))),
    }
    match filled(container, "image") {
        None => errors.push(Error::required(&path.child("image"), "")),
        Some(image) if image.trim() != image => {
            let detail = "must not have leading or trailing whitespace";
            errors.push(Error::invalid(&path.child("image"), image, detail));
        }
        Some(_) => {}
    }
    let policy = filled(container, "terminationMessagePolicy");
    let field = path.child("terminationMessagePolicy");
    errors.extend(match policy {
        None => Some(Error::required(&field, "")),
        Some(policy) => one_of(policy, &["FallbackToLogsOnError", "File"], &field),
    });
    errors.extend(ports(container.items_at(&["ports"]), &path.child("ports")));
    errors.extend(env::variables(container.items_at(&["env"]), &path.child("env")));
    errors.extend(env::sources(container.items_at(&["envFrom"]), &path.child("envFrom")));
    errors.extend(mounts(container.items_at(&["volumeMounts"]), volumes, &path.child("volumeMounts")));
    errors.extend(devices(container.items_at(&["volumeDevices"]), volumes, &path.child("volumeDevices")));
    let field = path.child("imagePullPolicy");
    errors.extend(match filled(container, "imagePullPolicy") {
        None => Some(Error::required(&field, "")),
        Some(policy) => one_of(policy, &["Always", "IfNotPresent", "Never"], &field),
    });
    let wanted = container.get("resources").unwrap_or(&Value::Null);
    errors.extend(resources::requirements(wanted, &path.child("resources")));
    errors.extend(security::container(container.get("securityContext"), &path.child("securityContext")));
    errors
}

fn duplicate_name(container: &Value, others: &[Value], path: &Path) -> Option<Error> {
    let name = filled(container, "name")?;
    let taken = others.iter().any(|other| other.str_at(&["name"]) == Some(name));
    taken.then(|| Error::duplicate(&path.child("name"), name))
}

fn ports(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, port) in all.iter().enumerate() {
        let path = path.index(i);
        if let Some(name) = filled(port, "name") {
            let wrong: Errors = text(names::is_port_name, name, &path.child("name")).collect();
            let taken = wrong.is_empty() && all[..i].iter().any(|other| filled(other, "name") == Some(name));
            errors.extend(wrong);
            errors.extend(taken.then(|| Error::duplicate(&path.child("name"), name)));
        }
        match port.int_at(&["containerPort"]).unwrap_or_default() {
            0 => errors.push(Error::required(&path.child("containerPort"), "")),
            number => errors.extend(port_number(number, &path.child("containerPort"))),
        }
        let host = port.int_at(&["hostPort"]).filter(|number| *number != 0);
        errors.extend(host.into_iter().flat_map(|number| port_number(number, &path.child("hostPort"))));
        errors.extend(match filled(port, "protocol") {
            None => Some(Error::required(&path.child("protocol"), "")),
            Some(protocol) => one_of(protocol, &["SCTP", "TCP", "UDP"], &path.child("protocol")),
        });
    }
    errors
}

fn port_number(number: i64, path: &Path) -> Errors {
    names::is_port(number).into_iter().map(|m| Error::invalid(path, number, m)).collect()
}

fn host_port_conflicts(containers: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut used: Vec<String> = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in container.items_at(&["ports"]).iter().enumerate() {
            let Some(number) = port.int_at(&["hostPort"]).filter(|number| *number != 0) else { continue };
            let protocol = port.str_at(&["protocol"]).unwrap_or_default();
            let address = port.str_at(&["hostIP"]).unwrap_or_default();
            let key = format!("{protocol}/{address}/{number}");
            if used.contains(&key) {
                errors.push(Error::duplicate(&path.index(i).child("ports").index(j).child("hostPort"), key.as_str()));
            }
            used.push(key);
        }
    }
    errors
}

fn host_network_ports(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if spec.bool_at(&["hostNetwork"]) != Some(true) {
        return errors;
    }
    for list in ["containers", "initContainers"] {
        for (i, container) in spec.items_at(&[list]).iter().enumerate() {
            for (j, port) in container.items_at(&["ports"]).iter().enumerate() {
                let [host, own] = ["hostPort", "containerPort"].map(|f| port.int_at(&[f]).unwrap_or_default());
                if host != own {
                    let path = path.child(list).index(i).child("ports").index(j).child("hostPort");
                    let detail = "must match `containerPort` when `hostNetwork` is true";
                    errors.push(Error::invalid(&path, host, detail));
                }
            }
        }
    }
    errors
}

fn mounts(all: &[Value], volumes: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, mount) in all.iter().enumerate() {
        let path = path.index(i);
        match filled(mount, "name") {
            None => errors.push(Error::required(&path.child("name"), "")),
            Some(name) if !volumes.contains(&name) => errors.push(Error::not_found(&path.child("name"), name)),
            Some(_) => {}
        }
        let place = mount.str_at(&["mountPath"]).unwrap_or_default();
        if place.is_empty() {
            errors.push(Error::required(&path.child("mountPath"), ""));
        }
        if all[..i].iter().any(|other| other.str_at(&["mountPath"]) == Some(place)) {
            errors.push(Error::invalid(&path.child("mountPath"), place, "must be unique"));
        }
        let [sub_path, expression] = ["subPath", "subPathExpr"].map(|field| filled(mount, field));
        for (field, value) in [("subPath", sub_path), ("subPathExpr", expression)] {
            errors.extend(value.into_iter().flat_map(|value| local_path(value, &path.child(field))));
        }
        if sub_path.is_some()
            && let Some(expression) = expression
        {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(Error::invalid(&path.child("subPathExpr"), expression, detail));
        }
        let supported = ["Bidirectional", "HostToContainer", "None"];
        let propagation = filled(mount, "mountPropagation");
        errors.extend(propagation.and_then(|mode| one_of(mode, &supported, &path.child("mountPropagation"))));
    }
    errors
}

/// A path that stays below where it starts.
pub(super) fn local_path(value: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if value.starts_with('/') {
        errors.push(Error::invalid(path, value, "must be a relative path"));
    }
    errors.extend(no_back_steps(value, path));
    errors
}

/// A path without `..`.
pub(super) fn no_back_steps(value: &str, path: &Path) -> Option<Error> {
    value.split('/').any(|part| part == "..").then(|| Error::invalid(path, value, "must not contain '..'"))
}

fn devices(all: &[Value], volumes: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, device) in all.iter().enumerate() {
        let path = path.index(i);
        match filled(device, "name") {
            None => errors.push(Error::required(&path.child("name"), "")),
            Some(name) if !volumes.contains(&name) => errors.push(Error::not_found(&path.child("name"), name)),
            Some(_) => {}
        }
        match filled(device, "devicePath") {
            None => errors.push(Error::required(&path.child("devicePath"), "")),
            Some(place) => errors.extend(no_back_steps(place, &path.child("devicePath"))),
        }
    }
    errors
}
