//! Pod templates of workloads.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, labels::Selector, meta};

use super::metadata::{annotations, labels};
use super::{one_of, selector};
use crate::core::pod::annotations as pod_annotations;
use crate::pod_spec::check;

/// What is wrong with a pod template.
#[must_use]
pub fn validate(template: &Value, path: &Path) -> Errors {
    let mut errors = metadata(template, path);
    errors.extend(check::pod_spec(template.get("spec").unwrap_or(&Value::Null), None, &path.child("spec")));
    errors.extend(pod_annotations::match_fields(template, &path.child("spec")));
    if !template.items_at(&["spec", "ephemeralContainers"]).is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(&path.child("spec.ephemeralContainers"), detail));
    }
    errors
}

/// What is wrong with the metadata of a pod template.
#[must_use]
pub fn metadata(template: &Value, path: &Path) -> Errors {
    let mut errors = labels(meta::labels(template), &path.child("labels"));
    errors.extend(annotations(meta::annotations(template), &path.child("annotations")));
    errors.extend(pod_annotations::check(template, &path.child("annotations")));
    errors
}

/// What is wrong with the selector and the template of a workload named `kind`, as `spec.selector` and
/// `spec.template`.
#[must_use]
pub fn selected(spec: &Value, path: &Path, kind: &str) -> Errors {
    let mut errors = Errors::new();
    let field = path.child("selector");
    match spec.get("selector").filter(|selector| !selector.is_null()) {
        None => errors.push(Error::required(&field, "")),
        Some(value) => {
            errors.extend(selector::label_selector(Some(value), &field));
            if selector::is_empty(value) {
                let detail = format!("empty selector is invalid for {kind}");
                errors.push(Error::invalid(&field, value.clone(), detail));
            }
        }
    }
    errors
}

/// Whether the labels of the template are those that the selector of the workload wants.
#[must_use]
pub fn labels_match(spec: &Value, path: &Path) -> Option<Error> {
    let template = spec.get("template").unwrap_or(&Value::Null);
    let selector = Selector::from_label_selector(spec.get("selector"));
    let matches = match &selector {
        Err(_) => {
            return Some(Error::invalid(
                &path.child("selector"),
                spec.get("selector").cloned(),
                "invalid label selector",
            ));
        }
        Ok(selector) => selector.is_empty() || selector.matches(&meta::labels(template)),
    };
    let shown = meta::labels(template).cloned().map_or(Value::Null, |mut labels| {
        labels.sort();
        Value::Object(labels)
    });
    let detail = "`selector` does not match template `labels`";
    (!matches).then(|| Error::invalid(&path.child("template.metadata.labels"), shown, detail))
}

/// Pods of this workload always restart and never end by a deadline.
#[must_use]
pub fn always_restarts(template: &Value, path: &Path, kind: &str) -> Errors {
    let policy = template.str_at(&["spec", "restartPolicy"]).unwrap_or_default();
    let mut errors: Errors = one_of(policy, &["Always"], &path.child("spec.restartPolicy")).into_iter().collect();
    if template.int_at(&["spec", "activeDeadlineSeconds"]).is_some() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(Error::forbidden(&path.child("spec.activeDeadlineSeconds"), detail));
    }
    errors
}

/// What is wrong with the template of a workload that keeps a number of pods alive.
#[must_use]
pub fn of_replicas(spec: &Value, path: &Path) -> Errors {
    let mismatch = labels_match(spec, path);
    if mismatch.as_ref().is_some_and(|error| error.detail == "invalid label selector") {
        return mismatch.into_iter().collect();
    }
    let template = spec.get("template").unwrap_or(&Value::Null);
    let path = path.child("template");
    let mut errors: Errors = mismatch.into_iter().collect();
    errors.extend(validate(template, &path));
    errors.extend(always_restarts(template, &path, "ReplicaSet"));
    errors
}
