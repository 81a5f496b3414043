//! PodSecurity: a namespace's labels say how much its pods may (KEP-2579).

mod baseline;
mod configuration;
mod metrics;
mod pod;
mod policy;
mod restricted;

use std::collections::BTreeMap;

use machinery::field::quote;
use machinery::status::In;
use machinery::{Object, Status, Value, meta};

use super::{Context, Operation, Plugin, Request};
pub use configuration::Configuration;
use pod::{Pod, Violation};
use policy::{Level, PREFIX, Policy, Standard, Version};

/// Of a namespace with more pods than this only some are checked when its level changes.
const CHECKED_PODS: usize = 3000;

pub const PLUGIN: Plugin = Plugin { name: "PodSecurity", admit: None, validate: Some(validate) };

type Check = fn(Pod<'_>, Version) -> Option<Violation>;

/// The checks of the level baseline, in the order in which messages list them.
const BASELINE: &[Check] = &[
    baseline::app_armor,
    baseline::capabilities,
    baseline::host_namespaces,
    baseline::host_path,
    baseline::host_ports,
    baseline::host_probes,
    baseline::privileged,
    baseline::proc_mount,
    baseline::selinux,
    baseline::seccomp,
    baseline::sysctls,
    baseline::windows_host_process,
];

/// The checks of the level restricted; capabilities, volumes and seccomp take the place of baseline's, as soon as there
/// is such a check in a version.
const RESTRICTED: &[Check] = &[
    baseline::app_armor,
    restricted::default_capabilities,
    baseline::host_namespaces,
    baseline::host_ports,
    baseline::host_probes,
    baseline::privileged,
    restricted::default_proc_mount,
    baseline::selinux,
    restricted::default_seccomp,
    baseline::sysctls,
    baseline::windows_host_process,
    restricted::privilege_escalation,
    restricted::capabilities,
    restricted::proc_mount,
    restricted::volumes,
    restricted::non_root,
    restricted::root_user,
    restricted::seccomp,
];

/// Resources that make pods, and where their template is.
const TEMPLATES: &[(&str, &str, &[&str])] = &[
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

fn validate(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if !matches!(request.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    if request.is("", "namespaces") {
        return validate_namespace(request, context);
    }
    if request.is("", "pods") || request.is_part("", "pods", "ephemeralcontainers") {
        return validate_pod(request, context);
    }
    let template = TEMPLATES.iter().find(|(group, resource, _)| request.is(group, resource));
    if let Some((_, _, path)) = template {
        warn_about_template(request, context, path);
    }
    Ok(())
}

fn validate_namespace(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let defaults = &context.pod_security.defaults;
    let (new, errors) = Policy::of(request.object, defaults);
    let old = request.old.map(|old| Policy::of(old, defaults));
    let was_wrong_before = request.old.is_some_and(|old| same_labels(old, request.object));
    if !errors.is_empty() && !was_wrong_before {
        let kind = In { group: "", name: "Namespace" };
        return Err(Status::invalid(kind, request.object_name(), &errors));
    }
    let Some((old, _)) = old else { return Ok(()) };
    let relaxed = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
    let spared = context.pod_security.spares_namespace(request.object_name());
    if new.enforce.level != Level::Privileged && !relaxed && !spared {
        let warnings = existing_pods(request.object_name(), new.enforce, context);
        request.warnings.extend(warnings);
    }
    Ok(())
}

fn same_labels(old: &Value, new: &Value) -> bool {
    let ours = |object: &Value| -> Vec<(String, Value)> {
        let labels = meta::labels(object).into_iter().flat_map(Object::iter);
        let mut ours: Vec<_> = labels
            .filter(|(name, _)| name.starts_with(PREFIX))
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect();
        ours.sort_by(|a, b| a.0.cmp(&b.0));
        ours
    };
    ours(old) == ours(new)
}

/// Warnings about the pods that are there already and would not be admitted.
fn existing_pods(namespace: &str, standard: Standard, context: &Context<'_>) -> Vec<String> {
    let pods = context.objects.list("", "pods", namespace);
    let mut by_reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let checked = pods.iter().take(CHECKED_PODS);
    for pod in checked.filter(|pod| !context.pod_security.spares_runtime_class(as_pod(pod).spec)) {
        let violations = check(as_pod(pod), standard);
        let reasons: Vec<&str> = violations.iter().map(|violation| violation.reason).collect();
        if !reasons.is_empty() {
            by_reasons.entry(reasons.join(", ")).or_default().push(meta::name(pod).to_owned());
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > CHECKED_PODS {
        let all = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {CHECKED_PODS} of {all} existing pods"
        ));
    }
    if !by_reasons.is_empty() {
        let (namespace, standard) = (quote(namespace), quote(&standard.to_string()));
        warnings.push(format!(
            "existing pods in namespace {namespace} violate the new PodSecurity enforce level {standard}"
        ));
    }
    let mut lines: Vec<String> = by_reasons.iter().map(|(reasons, pods)| existing_line(reasons, pods)).collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}

fn existing_line(reasons: &str, pods: &[String]) -> String {
    match pods {
        [one] => format!("{one}: {reasons}"),
        [one, _] => format!("{one} (and 1 other pod): {reasons}"),
        [one, others @ ..] => format!("{one} (and {} other pods): {reasons}", others.len()),
        [] => String::new(),
    }
}

fn validate_pod(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if request.old.is_some_and(|old| !is_significant(old, request.object)) {
        return Ok(());
    }
    if spares(request, as_pod(request.object), context) {
        return Ok(());
    }
    let policy = policy_of(request, context);
    let violations = check(as_pod(request.object), policy.enforce);
    context.pod_security.counts.evaluated(request, "enforce", policy.enforce, violations.is_empty());
    if !violations.is_empty() {
        let standard = quote(&policy.enforce.to_string());
        return Err(request.forbidden(format!("violates PodSecurity {standard}: {}", show(&violations))));
    }
    let warning = would_violate(as_pod(request.object), policy.warn);
    count_warning(request, context, policy.warn, warning.is_some());
    request.warnings.extend(warning);
    Ok(())
}

/// Whether an update changes what the checks look at. Of what they look at, an update can change images only, and what
/// containers there are.
fn is_significant(old: &Value, new: &Value) -> bool {
    ["containers", "initContainers", "ephemeralContainers"].into_iter().any(|list| {
        let images = |pod: &Value| -> BTreeMap<String, String> {
            let text = |container: &Value, field: &str| container.str_at(&[field]).unwrap_or_default().to_owned();
            let containers = pod.items_at(&["spec", list]).iter();
            containers.map(|container| (text(container, "name"), text(container, "image"))).collect()
        };
        images(old) != images(new)
    })
}

/// What makes pods is admitted; who applies it is told early that its pods may not be.
fn warn_about_template(request: &mut Request<'_>, context: &Context<'_>, path: &[&str]) {
    let Some(template) = request.object.at(path) else { return };
    if spares(request, as_pod(template), context) {
        return;
    }
    let policy = policy_of(request, context);
    let warning = would_violate(as_pod(template), policy.warn);
    count_warning(request, context, policy.warn, warning.is_some());
    request.warnings.extend(warning);
}

/// Upstream counts only what it warns of.
fn count_warning(request: &Request<'_>, context: &Context<'_>, standard: Standard, warns: bool) {
    if warns {
        context.pod_security.counts.evaluated(request, "warn", standard, false);
    }
}

fn would_violate(pod: Pod<'_>, standard: Standard) -> Option<String> {
    let violations = check(pod, standard);
    let quoted = quote(&standard.to_string());
    (!violations.is_empty()).then(|| format!("would violate PodSecurity {quoted}: {}", show(&violations)))
}

fn policy_of(request: &Request<'_>, context: &Context<'_>) -> Policy {
    let namespace = context.objects.get("", "namespaces", "", request.namespace);
    let defaults = context.pod_security.defaults;
    namespace.map_or(defaults, |namespace| Policy::of(&namespace, &defaults).0)
}

/// Whether the configuration leaves this user, this namespace or this runtime class alone.
fn spares(request: &Request<'_>, pod: Pod<'_>, context: &Context<'_>) -> bool {
    let configuration = context.pod_security;
    let spares = configuration.spares_user(&request.user.name)
        || configuration.spares_namespace(request.namespace)
        || configuration.spares_runtime_class(pod.spec);
    if spares {
        configuration.counts.spared(request);
    }
    spares
}

fn as_pod(object: &Value) -> Pod<'_> {
    Pod { annotations: meta::annotations(object), spec: object.get("spec").unwrap_or(&Value::Null) }
}

fn check(pod: Pod<'_>, standard: Standard) -> Vec<Violation> {
    let checks = match standard.level {
        Level::Privileged => &[],
        Level::Baseline => BASELINE,
        Level::Restricted => RESTRICTED,
    };
    checks.iter().filter_map(|check| check(pod, standard.version)).collect()
}

fn show(violations: &[Violation]) -> String {
    violations.iter().map(|v| format!("{} ({})", v.reason, v.detail)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    fn namespace(labels: Value) -> Value {
        let labels = labels.as_object().into_iter().flat_map(Object::iter);
        let labels: Object = labels.map(|(name, value)| (format!("{PREFIX}{name}"), value.clone())).collect();
        value!({"metadata": {"name": "ns", "labels": labels}})
    }

    fn make(labels: Value, spec: Value) -> String {
        let objects = Objects::default().with("", "namespaces", namespace(labels));
        let mut pod = value!({"metadata": {"name": "p"}, "spec": spec});
        let user = User::anonymous();
        let answer = ask(&PLUGIN, &mut request(Operation::Create, ("", "pods"), &mut pod, None, &user), &objects);
        if let Some((_, warning)) = answer.split_once('\n') {
            return warning.trim().to_owned();
        }
        if answer.starts_with('{') { "fine".to_owned() } else { answer.replace("403 pods \"p\" is forbidden: ", "") }
    }

    fn with_container(security: Value) -> Value {
        value!({"containers": [{"name": "c", "securityContext": security}]})
    }

    #[test]
    fn baseline() {
        let baseline = |spec: Value| make(value!({"enforce": "baseline"}), spec);
        let shown = [
            baseline(value!({"containers": [{"name": "c"}]})),
            baseline(value!({"hostNetwork": true, "hostPID": true})),
            baseline(with_container(value!({"privileged": true}))),
            baseline(value!({"volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]})),
            baseline(with_container(value!({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}))),
            baseline(value!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]})),
            baseline(
                value!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}], "seLinuxOptions": {"type": "odd_t", "user": "u"}}}),
            ),
            baseline(
                value!({"securityContext": {"seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"}}}),
            ),
            baseline(with_container(value!({"procMount": "Unmasked"}))),
            baseline(value!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "127.0.0.1"}}}]})),
            baseline(with_container(value!({"appArmorProfile": {"type": "Unconfined"}, "seccompProfile": {}}))),
        ];
        expect_test::expect![[r#"
            fine
            violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true, hostPID=true)
            violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)
            violates PodSecurity "baseline:latest": hostPath volumes (volumes "v", "w")
            violates PodSecurity "baseline:latest": non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)
            violates PodSecurity "baseline:latest": hostPort (container "c" uses hostPort 80)
            violates PodSecurity "baseline:latest": seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "odd_t"; user may not be set), forbidden sysctls (kernel.msgmax)
            violates PodSecurity "baseline:latest": forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined"), seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")
            violates PodSecurity "baseline:latest": procMount (container "c" must not set securityContext.procMount to "Unmasked")
            violates PodSecurity "baseline:latest": probe or lifecycle host (container "c" uses probe or lifecycle host "127.0.0.1")
            violates PodSecurity "baseline:latest": forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined"), seccompProfile (container "c" must not set securityContext.seccompProfile.type to "")"#]].assert_eq(&shown.join("\n"));
    }

    #[test]
    fn restricted() {
        let good = || {
            value!({
                "allowPrivilegeEscalation": false, "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}
            })
        };
        let restricted = |spec: Value| make(value!({"enforce": "restricted"}), spec);
        let shown = [
            restricted(with_container(good())),
            restricted(value!({"containers": [{"name": "c"}]})),
            restricted(with_container(value!({"procMount": "Unmasked", "capabilities": {}}))),
            restricted(
                value!({"volumes": [{"name": "v", "nfs": {}}], "securityContext": {"runAsUser": 0, "runAsNonRoot": false}}),
            ),
            make(value!({"warn": "restricted", "warn-version": "v1.21"}), value!({"containers": [{"name": "c"}]})),
        ];
        expect_test::expect![[r#"
            fine
            violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")
            violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), procMount (container "c" must not set securityContext.procMount to "Unmasked"), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")
            violates PodSecurity "restricted:latest": restricted volume types (volume "v" uses restricted volume type "nfs"), runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod must not set runAsUser=0)
            warning: would violate PodSecurity "restricted:v1.21": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#]].assert_eq(&shown.join("\n"));
    }

    #[test]
    fn namespaces() {
        let user = User::anonymous();
        let change = |mut new: Value, old: Option<&Value>| {
            let host =
                |name: &str| value!({"metadata": {"namespace": "ns", "name": name}, "spec": {"hostNetwork": true}});
            let objects = Objects::default().with("", "pods", host("a")).with("", "pods", host("b"));
            let operation = if old.is_some() { Operation::Update } else { Operation::Create };
            let answer = ask(&PLUGIN, &mut request(operation, ("", "namespaces"), &mut new, old, &user), &objects);
            answer.split_once('\n').map_or(answer.clone(), |(_, warnings)| warnings.to_owned())
        };
        let shown = [
            change(namespace(value!({"enforce": "odd"})), None),
            change(namespace(value!({"enforce": "baseline", "enforce-version": "v9x"})), None),
            change(namespace(value!({"enforce": "baseline"})), Some(&namespace(value!({})))),
        ];
        expect_test::expect![[r#"
            422 Namespace "ns" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "odd": must be one of privileged, baseline, restricted
            422 Namespace "ns" is invalid: metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "v9x": must be "latest" or "v1.x"
              warning: existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"
              warning: a (and 1 other pod): host namespaces"#]].assert_eq(&shown.join("\n"));
    }
}
