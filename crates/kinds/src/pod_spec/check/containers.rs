//! Containers: names, images, ports, mounts, and what the three lists allow.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use super::{env, filled, mounts, probes, security};
use crate::pod_spec::is_sidecar;
use crate::validate::{one_of, resources, text};

const NOT_SIDECAR: &str = "may not be set for init containers without restartPolicy=Always";
const NO_RESTART_POLICY: &str = "must specify restartPolicy when restart rules are used";
const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const MOST_RESTART_RULES: usize = 20;
const MOST_EXIT_CODES: usize = 255;

/// What is wrong with the containers of a pod spec.
#[must_use]
pub fn all(spec: &Value, volumes: &[&Value], path: &Path) -> Errors {
    let mut errors = regular(spec, volumes, &path.child("containers"));
    errors.extend(initial(spec, volumes, &path.child("initContainers")));
    errors.extend(ephemeral(spec, volumes, &path.child("ephemeralContainers")));
    errors
}

/// What pods may not have and templates may: white space around an image.
#[must_use]
pub fn in_pods(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for list in ["containers", "initContainers"] {
        for (i, container) in spec.items_at(&[list]).iter().enumerate() {
            errors.extend(image_without_space(container, &path.child(list).index(i)));
        }
    }
    errors
}

fn image_without_space(container: &Value, path: &Path) -> Option<Error> {
    let image = filled(container, "image").filter(|image| image.trim() != *image)?;
    Some(Error::invalid(&path.child("image"), image, "must not have leading or trailing whitespace"))
}

fn regular(spec: &Value, volumes: &[&Value], path: &Path) -> Errors {
    let all = spec.items_at(&["containers"]);
    if all.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    for (i, container) in all.iter().enumerate() {
        let path = path.index(i);
        errors.extend(common(container, spec, volumes, &path));
        errors.extend(duplicate_name(container, &all[..i], &path));
        errors.extend(probes::all(container, spec, &path));
        errors.extend(restart_rules(container, &path));
    }
    errors.extend(host_port_conflicts(all, path));
    errors
}

fn initial(spec: &Value, volumes: &[&Value], path: &Path) -> Errors {
    let all = spec.items_at(&["initContainers"]);
    let mut errors = Errors::new();
    for (i, container) in all.iter().enumerate() {
        let item = path.index(i);
        errors.extend(common(container, spec, volumes, &item));
        if container.str_at(&["restartPolicy"]).is_some() {
            errors.extend(restart_rules(container, &item));
        } else if !container.items_at(&["restartPolicyRules"]).is_empty() {
            errors.push(Error::required(&item.child("restartPolicy"), NO_RESTART_POLICY));
        }
        // One without a name is not the same as another init container without one.
        let earlier = all[..i].iter().filter(|other| filled(other, "name").is_some());
        errors.extend(duplicate_name(container, spec.items_at(&["containers"]).iter().chain(earlier), &item));
        // Init containers run one after another: each for itself, and so upstream always names the first.
        errors.extend(host_port_conflicts(std::slice::from_ref(container), path));
        if is_sidecar(container) {
            errors.extend(probes::all(container, spec, &item));
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.get(field).is_some_and(|value| !value.is_null()) {
                errors.push(Error::forbidden(&item.child(field), NOT_SIDECAR));
            }
        }
        for (j, policy) in container.items_at(&["resizePolicy"]).iter().enumerate() {
            if policy.str_at(&["restartPolicy"]) == Some("RestartContainer") {
                let field = item.child("resizePolicy").index(j).child("restartPolicy");
                let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.push(Error::invalid(&field, "RestartContainer", detail));
            }
        }
    }
    errors
}

/// What is wrong with a container's own restart policy and its rules (KEP-5307).
fn restart_rules(container: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let rules = container.items_at(&["restartPolicyRules"]);
    let field = path.child("restartPolicy");
    match container.str_at(&["restartPolicy"]) {
        Some(policy) => errors.extend(one_of(policy, &RESTART_POLICIES, &field)),
        None if rules.is_empty() => {}
        None => errors.push(Error::required(&field, NO_RESTART_POLICY)),
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > MOST_RESTART_RULES {
        errors.push(Error::too_many(&path, rules.len(), MOST_RESTART_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let action = rule.str_at(&["action"]).unwrap_or_default();
        errors.extend(one_of(action, &["Restart", "RestartAllContainers"], &path.child("action")));
        let path = path.child("exitCodes");
        let Some(codes) = rule.get("exitCodes").filter(|codes| !codes.is_null()) else {
            errors.push(Error::required(&path, "must be specified"));
            continue;
        };
        let operator = codes.str_at(&["operator"]).unwrap_or_default();
        errors.extend(one_of(operator, &["In", "NotIn"], &path.child("operator")));
        let count = codes.items_at(&["values"]).len();
        if count > MOST_EXIT_CODES {
            errors.push(Error::too_many(&path.child("values"), count, MOST_EXIT_CODES));
        }
    }
    errors
}

fn ephemeral(spec: &Value, volumes: &[&Value], path: &Path) -> Errors {
    let all = spec.items_at(&["ephemeralContainers"]);
    let mut errors = Errors::new();
    for (i, container) in all.iter().enumerate() {
        let path = path.index(i);
        errors.extend(common(container, spec, volumes, &path));
        errors.extend(image_without_space(container, &path));
        let others = spec.items_at(&["containers"]).iter().chain(spec.items_at(&["initContainers"]));
        errors.extend(duplicate_name(container, others.clone().chain(&all[..i]), &path));
        let target = filled(container, "targetContainerName");
        let known = |name: &str| others.clone().any(|other| other.str_at(&["name"]) == Some(name));
        if let Some(target) = target.filter(|target| !known(target)) {
            errors.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        errors.extend(not_ephemeral(container, &path));
    }
    errors
}

/// What an ephemeral container cannot have: it is no part of what the pod does.
fn not_ephemeral(container: &Value, path: &Path) -> Errors {
    let detail = "cannot be set for an Ephemeral Container";
    let fields = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    let set = |field: &str| match container.get(field) {
        None | Some(Value::Null) => false,
        Some(Value::Object(fields)) => field != "resources" || !fields.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    };
    let mut errors: Errors =
        fields.iter().filter(|field| set(field)).map(|field| Error::forbidden(&path.child(field), detail)).collect();
    for (i, mount) in container.items_at(&["volumeMounts"]).iter().enumerate() {
        for field in ["subPath", "subPathExpr"].iter().filter(|field| filled(mount, field).is_some()) {
            errors.push(Error::forbidden(&path.child("volumeMounts").index(i).child(field), detail));
        }
    }
    errors
}

fn common(container: &Value, spec: &Value, volumes: &[&Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    match filled(container, "name") {
        None => errors.push(Error::required(&path.child("name"), "")),
        Some(name) => errors.extend(text(names::is_dns1123_label, name, &path.child("name"))),
    }
    if filled(container, "image").is_none() {
        errors.push(Error::required(&path.child("image"), ""));
    }
    let policy = filled(container, "terminationMessagePolicy");
    let field = path.child("terminationMessagePolicy");
    errors.extend(match policy {
        None => Some(Error::required(&field, "")),
        Some(policy) => one_of(policy, &["File", "FallbackToLogsOnError"], &field),
    });
    errors.extend(ports(container.items_at(&["ports"]), &path.child("ports")));
    errors.extend(env::variables(container.items_at(&["env"]), &path.child("env")));
    errors.extend(env::sources(container.items_at(&["envFrom"]), &path.child("envFrom")));
    errors.extend(mounts::mounts(container, volumes, &path.child("volumeMounts")));
    errors.extend(mounts::devices(container, volumes, &path.child("volumeDevices")));
    let field = path.child("imagePullPolicy");
    errors.extend(match filled(container, "imagePullPolicy") {
        None => Some(Error::required(&field, "")),
        Some(policy) => one_of(policy, &["Always", "IfNotPresent", "Never"], &field),
    });
    let wanted = container.get("resources").unwrap_or(&Value::Null);
    errors.extend(resources::requirements(wanted, &claim_names(spec), &path.child("resources")));
    errors.extend(resize_policies(container, spec, &path.child("resizePolicy")));
    errors.extend(security::container(container.get("securityContext"), spec, &path.child("securityContext")));
    errors
}

fn claim_names(spec: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        spec.items_at(&["resourceClaims"]).iter().filter_map(|claim| filled(claim, "name")).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn resize_policies(container: &Value, spec: &Value, path: &Path) -> Errors {
    let all = container.items_at(&["resizePolicy"]);
    let mut errors = Errors::new();
    for (i, policy) in all.iter().enumerate() {
        let [resource, restart] =
            ["resourceName", "restartPolicy"].map(|field| policy.str_at(&[field]).unwrap_or_default());
        if all[..i].iter().any(|other| other.str_at(&["resourceName"]).unwrap_or_default() == resource) {
            errors.push(Error::duplicate(&path.index(i), resource));
        }
        // Upstream's paths name no index from here on.
        for (value, known) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            match value {
                "" => errors.push(Error::required(path, "")),
                value => errors.extend(one_of(value, &known, path)),
            }
        }
        if spec.str_at(&["restartPolicy"]) == Some("Never") && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(Error::invalid(path, restart, detail));
        }
    }
    errors
}

fn duplicate_name<'a>(container: &Value, others: impl IntoIterator<Item = &'a Value>, path: &Path) -> Option<Error> {
    let name = |container: &'a Value| container.str_at(&["name"]).unwrap_or_default();
    let own = container.str_at(&["name"]).unwrap_or_default();
    let taken = others.into_iter().any(|other| name(other) == own);
    taken.then(|| Error::duplicate(&path.child("name"), own))
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

/// In the host's network a port cannot be another one outside; a template may leave it to its pods.
#[must_use]
pub fn host_network_ports(spec: &Value, of_pod: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if spec.bool_at(&["hostNetwork"]) != Some(true) {
        return errors;
    }
    for (i, container) in spec.items_at(&["containers"]).iter().enumerate() {
        for (j, port) in container.items_at(&["ports"]).iter().enumerate() {
            let [host, own] = ["hostPort", "containerPort"].map(|f| port.int_at(&[f]).unwrap_or_default());
            if (of_pod || host != 0) && host != own {
                let path = path.child("containers").index(i).child("ports").index(j).child("hostPort");
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(Error::invalid(&path, host, detail));
            }
        }
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
