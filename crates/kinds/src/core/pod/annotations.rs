//! Annotations of pods and templates that mean something to the API server.

use machinery::field::{Error, Errors, Path, quote};
use machinery::{Value, meta};

use crate::pod_spec::default::CONTAINER_LISTS;
use crate::validate::metadata::sorted;

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// Says that the pod only mirrors one that a kubelet has by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What is wrong with the annotations of a pod or template.
pub(crate) fn check(pod: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let annotation = |key: &str| meta::annotation(pod, key);
    let bound = pod.str_at(&["spec", "nodeName"]).is_some_and(|name| !name.is_empty());
    if let Some(mirror) = annotation(MIRROR).filter(|_| !bound) {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(Error::invalid(&path.key(MIRROR), mirror, detail));
    }
    if let Some(cost) = annotation(DELETION_COST).filter(|cost| !is_cost(cost)) {
        errors.push(Error::invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer"));
    }
    errors.extend(annotation(SECCOMP_POD).into_iter().flat_map(|profile| seccomp(profile, &path.child(SECCOMP_POD))));
    let all = sorted(meta::annotations(pod));
    let profiles = || all.iter().map(|(key, profile)| (*key, profile.as_str().unwrap_or_default()));
    for (key, profile) in profiles().filter(|(key, _)| key.starts_with(SECCOMP_CONTAINER)) {
        errors.extend(seccomp(profile, &path.child(key)));
    }
    for (key, profile) in profiles() {
        let Some(container) = key.strip_prefix(APP_ARMOR) else { continue };
        errors.extend(app_armor(pod, container, profile, &path.key(key)));
    }
    errors
}

/// What is wrong with the annotations of a changed pod: what says something of the pod's spec stays as it is.
pub(crate) fn check_update(new: &Value, old: &Value) -> Errors {
    let path = Path::new("metadata.annotations");
    let fixed = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        key => key.starts_with(APP_ARMOR).then_some("AppArmor annotations"),
    };
    let [after, before] = [new, old].map(meta::annotations);
    let mut errors = Errors::new();
    for (key, value) in sorted(before) {
        let Some(words) = fixed(key).filter(|_| after.and_then(|all| all.get(key)) != Some(value)) else { continue };
        errors.push(Error::forbidden(&path.key(key), format!("may not remove or update {words}")));
    }
    for (key, _) in sorted(after) {
        let Some(words) = fixed(key).filter(|_| before.is_none_or(|all| !all.contains_key(key))) else { continue };
        errors.push(Error::forbidden(&path.key(key), format!("may not add {words}")));
    }
    errors.extend(check(new, &path));
    errors
}

/// What annotations and fields of a new pod or template say differently about the same.
pub(crate) fn match_fields(pod: &Value, spec_path: &Path) -> Errors {
    let mut errors = Errors::new();
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let profile = spec.at(&["securityContext", "seccompProfile"]).filter(|profile| !profile.is_null());
    if let (Some(profile), Some(annotation)) = (profile, meta::annotation(pod, SECCOMP_POD)) {
        let path = spec_path.child("securityContext.seccompProfile");
        errors.extend(differs(profile, annotation, "seccomp", &path));
    }
    let whole = spec.at(&["securityContext", "appArmorProfile"]).filter(|profile| !profile.is_null());
    let windows = spec.str_at(&["os", "name"]) == Some("windows");
    for list in CONTAINER_LISTS {
        for (i, container) in spec.items_at(&[list]).iter().enumerate() {
            let path = spec_path.child(list).index(i).child("securityContext");
            let name = container.str_at(&["name"]).unwrap_or_default();
            let own = |field: &str| container.at(&["securityContext", field]).filter(|profile| !profile.is_null());
            let annotation = |prefix: &str| meta::annotation(pod, &format!("{prefix}{name}"));
            if let (Some(profile), Some(annotation)) = (own("seccompProfile"), annotation(SECCOMP_CONTAINER)) {
                errors.extend(differs(profile, annotation, "seccomp", &path.child("seccompProfile")));
            }
            let profile = own("appArmorProfile").or(whole).filter(|_| !windows);
            if let (Some(profile), Some(annotation)) = (profile, annotation(APP_ARMOR)) {
                errors.extend(differs(profile, annotation, "apparmor", &path.child("appArmorProfile")));
            }
        }
    }
    errors
}

fn app_armor(pod: &Value, container: &str, profile: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let named = |list: &str| pod.items_at(&["spec", list]).iter().any(|one| one.str_at(&["name"]) == Some(container));
    if !CONTAINER_LISTS.into_iter().any(named) {
        errors.push(Error::invalid(path, container, "container not found"));
    }
    if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
        let detail = format!("invalid AppArmor profile name: {}", quote(profile));
        errors.push(Error::invalid(path, profile, detail));
    }
    errors
}

fn seccomp(profile: &str, path: &Path) -> Errors {
    if matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
        return Errors::new();
    }
    match profile.strip_prefix("localhost/") {
        None => vec![Error::invalid(path, profile, "must be a valid seccomp profile")],
        Some(local) if local.starts_with('/') => vec![Error::invalid(path, local, "must be a relative path")],
        Some(local) if local.split('/').any(|part| part == "..") => {
            vec![Error::invalid(path, local, "must not contain '..'")]
        }
        Some(_) => Errors::new(),
    }
}

/// A whole number of 32 bits without a sign or zeros before it.
fn is_cost(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = text == "0" || (!digits.starts_with(['0', '+']) && !text.starts_with('+'));
    plain && text.parse::<i32>().is_ok()
}

fn differs(profile: &Value, annotation: &str, words: &str, path: &Path) -> Option<Error> {
    let kind = profile.str_at(&["type"]).unwrap_or_default();
    let local = annotation.strip_prefix("localhost/");
    let same_kind = match kind {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => annotation == "runtime/default" || (words == "seccomp" && annotation == "docker/default"),
        "Localhost" => local.is_some(),
        _ => true,
    };
    if !same_kind {
        let detail = format!("{words} type in annotation and field must match");
        return Some(Error::forbidden(&path.child("type"), detail));
    }
    let same = kind != "Localhost" || profile.str_at(&["localhostProfile"]) == local;
    let detail = format!("{words} profile in annotation and field must match");
    (!same).then(|| Error::forbidden(&path.child("localhostProfile"), detail))
}
