//! What is wrong with a job, or with the template of one.

use machinery::field::{Error, Errors, Path};
use machinery::labels::Selector;
use machinery::{Value, meta, names};

use super::{OWN_LABELS, failure_policy, success_policy};
use crate::validate::metadata::sorted;
use crate::validate::{domain_prefixed_path, non_negative_at, one_of, one_of_if_set, pod_template, selector};

const MAX_INDEXED_PARALLELISM: i64 = 100_000;
const MAX_FAILED_INDEXES: i64 = 100_000;
/// With more completions than this and a limit for each index, the other limits are stricter.
const MANY_COMPLETIONS: i64 = 100_000;
const LIMIT_FOR_MANY: i64 = 10_000;
const MAX_MANAGED_BY_BYTES: usize = 63;

/// What is wrong with a job as such; `labelled` asks for the labels that have a domain.
pub(super) fn job(job: &Value, labelled: bool) -> Errors {
    let spec = job.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = generated_selector(job, labelled, &path);
    errors.extend(job_spec(spec, &path));
    let completions = spec.int_at(&["completions"]).filter(|completions| *completions > 0);
    if let Some(completions) = completions.filter(|_| spec.str_at(&["completionMode"]) == Some("Indexed")) {
        let last = format!("{}-{}", meta::name(job), completions - 1);
        if !names::is_dns1123_label(&last).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            errors.push(Error::invalid(&Path::new("metadata.name"), meta::name(job), detail));
        }
    }
    errors
}

/// What is wrong with the spec of a job.
pub(super) fn job_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = template_spec(spec, path);
    let field = path.child("selector");
    match spec.get("selector").filter(|selector| !selector.is_null()) {
        None => errors.push(Error::required(&field, "")),
        Some(value) => errors.extend(selector::label_selector(Some(value), &field)),
    }
    let mismatch = pod_template::labels_match(spec, path);
    errors.extend(mismatch.filter(|error| error.detail != "invalid label selector"));
    errors
}

/// What is wrong with a job's spec, its selector aside.
pub(crate) fn template_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = numbers(spec, path);
    errors.extend(managed_by(spec, &path.child("managedBy")));
    errors.extend(completion_mode(spec, path));
    errors.extend(failure_policy::check(spec, &path.child("podFailurePolicy")));
    errors.extend(success_policy::check(spec, &path.child("successPolicy")));
    let fails = spec.get("podFailurePolicy").is_some_and(|policy| !policy.is_null());
    let known: &[&str] = if fails { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    errors.extend(one_of_if_set(spec.get("podReplacementPolicy"), known, &path.child("podReplacementPolicy")));
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_template::validate(template, &path.child("template")));
    let policy = template.str_at(&["spec", "restartPolicy"]).unwrap_or_default();
    let field = path.child("template.spec.restartPolicy");
    if matches!(policy, "" | "Always") {
        errors.push(Error::required(&field, "valid values: \"OnFailure\", \"Never\""));
    } else if let Some(unknown) = one_of(policy, &["OnFailure", "Never"], &field) {
        errors.push(unknown);
    } else if policy != "Never" && fails {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(Error::invalid(&field, policy, detail));
    }
    errors
}

fn numbers(spec: &Value, path: &Path) -> Errors {
    let fields = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    let mut errors: Errors = fields.iter().filter_map(|field| non_negative_at(spec, field, path)).collect();
    if spec.int_at(&["maxFailedIndexes"]).is_some() && spec.int_at(&["backoffLimitPerIndex"]).is_none() {
        errors.push(Error::required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    errors
}

fn managed_by(spec: &Value, path: &Path) -> Errors {
    let Some(manager) = spec.str_at(&["managedBy"]) else { return Errors::new() };
    let mut errors = domain_prefixed_path(manager, path);
    if manager.len() > MAX_MANAGED_BY_BYTES {
        errors.push(Error::too_long(path, MAX_MANAGED_BY_BYTES));
    }
    errors
}

fn completion_mode(spec: &Value, path: &Path) -> Errors {
    let number = |field: &str| spec.int_at(&[field]);
    let mode = spec.str_at(&["completionMode"]);
    let mut errors: Errors =
        one_of_if_set(spec.get("completionMode"), &["NonIndexed", "Indexed"], &path.child("completionMode"))
            .into_iter()
            .collect();
    if mode == Some("Indexed") {
        errors.extend(indexed(spec, path));
    } else if matches!(mode, None | Some("NonIndexed")) {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            let detail = "requires indexed completion mode";
            errors.extend(number(field).map(|limit| Error::invalid(&path.child(field), limit, detail)));
        }
    }
    errors
}

fn indexed(spec: &Value, path: &Path) -> Errors {
    let number = |field: &str| spec.int_at(&[field]);
    let (completions, failed) = (number("completions"), number("maxFailedIndexes"));
    let mut errors = Errors::new();
    if completions.is_none() {
        errors.push(Error::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    let parallelism = number("parallelism").unwrap_or_default();
    if parallelism > MAX_INDEXED_PARALLELISM {
        let detail = format!("must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed");
        errors.push(Error::invalid(&path.child("parallelism"), parallelism, detail));
    }
    let field = path.child("maxFailedIndexes");
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        errors.push(Error::invalid(&field, failed, "must be less than or equal to completions"));
    }
    if let Some(failed) = failed.filter(|failed| *failed > MAX_FAILED_INDEXES) {
        errors.push(Error::invalid(&field, failed, format!("must be less than or equal to {MAX_FAILED_INDEXES}")));
    }
    if completions.is_some_and(|completions| completions > MANY_COMPLETIONS) && number("backoffLimitPerIndex").is_some()
    {
        if failed.is_none() {
            let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.push(Error::required(&field, detail));
        }
        let detail = format!(
            "must be less than or equal to {LIMIT_FOR_MANY} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
        );
        for (field, number) in [("parallelism", parallelism), ("maxFailedIndexes", failed.unwrap_or_default())] {
            if number > LIMIT_FOR_MANY {
                errors.push(Error::invalid(&path.child(field), number, detail.clone()));
            }
        }
    }
    errors
}

/// A selector that the server made selects what carries the job's labels, and the template carries them.
fn generated_selector(job: &Value, labelled: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let selector = job.at(&["spec", "selector"]).filter(|selector| !selector.is_null());
    let Some(selector) = selector.filter(|_| job.bool_at(&["spec", "manualSelector"]) != Some(true)) else {
        return errors;
    };
    let labels = job.at(&["spec", "template", "metadata", "labels"]).and_then(Value::as_object);
    let mut expected = machinery::Object::new();
    for (key, of_uid) in OWN_LABELS.into_iter().filter(|(key, _)| labelled || !key.contains('/')) {
        let value = if of_uid { meta::uid(job) } else { meta::name(job) };
        expected.insert(key, value);
        let field = path.child("template.metadata.labels").key(key);
        let detail = format!("must be '{value}'");
        match labels.and_then(|labels| labels.get(key)).and_then(Value::as_str) {
            None => errors.push(Error::required(&field, detail)),
            Some(label) if label != value => {
                let shown = sorted(labels).into_iter().map(|(key, value)| (key, value.clone())).collect();
                errors.push(Error::invalid(&field, Value::Object(shown), detail));
            }
            Some(_) => {}
        }
    }
    let fits = Selector::from_label_selector(Some(selector)).is_ok_and(|selector| !selector.matches(&Some(&expected)));
    if fits {
        errors.push(Error::invalid(&path.child("selector"), selector.clone(), "`selector` not auto-generated"));
    }
    errors
}
