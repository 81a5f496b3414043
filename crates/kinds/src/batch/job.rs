//! Job: pods that run until enough of them have ended well.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, labels, meta, value};

use crate::kind::{BASE, Context, Generation, Kind, STATUS, Selectable, path_value};
use crate::pod_spec::default::{each, set_in, template};
use crate::strategy::immutable;
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, human_duration, text};
use crate::validate::{non_negative_at, one_of, pod_template, selector};

mod failure_policy;

const SPEC: &str = "io.k8s.api.batch.v1.JobSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.batch.v1.JobStatus";
const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";

/// The kind.
pub static KIND: Kind = Kind {
    group: "batch",
    kind: "Job",
    plural: "jobs",
    categories: &["all"],
    storage: "jobs",
    schema: "io.k8s.api.batch.v1.Job",
    subresources: &[STATUS],
    columns: &[
        NAME,
        text("Status", Describe::Text("Status of the job.")),
        text("Completions", Describe::Field(STATUS_SCHEMA, "succeeded")),
        text("Duration", Describe::Text("Time required to complete the job.")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Describe::Field(SPEC, "selector")).wide(),
    ],
    row,
    selectable: &[
        Selectable { name: "metadata.name", get: |job| path_value(job, "metadata.name") },
        Selectable { name: "metadata.namespace", get: |job| path_value(job, "metadata.namespace") },
        Selectable {
            name: "status.successful",
            get: |job| job.int_at(&["status", "succeeded"]).unwrap_or_default().to_string().into(),
        },
    ],
    generation: Generation::Of(&["spec"]),
    orphans_dependents: true,
    default,
    prepare_create,
    validate,
    validate_update,
    warnings: |new, old| crate::core::pod::warnings::of_workload(new, old, &["spec", "template"]),
    ..BASE
};

fn row(job: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(job.at(&["spec", "template", "spec"]));
    vec![
        meta::name(job).into(),
        status(job).into(),
        completions(job).into(),
        duration(job, now).into(),
        age(job, now),
        containers,
        images,
        labels::format_label_selector(job.at(&["spec", "selector"])).into(),
    ]
}

fn status(job: &Value) -> &'static str {
    let has = |kind: &str| {
        let mut all = job.items_at(&["status", "conditions"]).iter();
        all.any(|c| c.str_at(&["type"]) == Some(kind) && c.str_at(&["status"]) == Some("True"))
    };
    let known = [("Complete", "Complete"), ("Failed", "Failed")];
    if let Some((_, shown)) = known.into_iter().find(|(kind, _)| has(kind)) {
        return shown;
    }
    if meta::is_deleting(job) {
        return "Terminating";
    }
    let other =
        [("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet")];
    other.into_iter().find(|(kind, _)| has(kind)).map_or("Running", |(_, shown)| shown)
}

fn completions(job: &Value) -> String {
    let succeeded = job.int_at(&["status", "succeeded"]).unwrap_or_default();
    match (job.int_at(&["spec", "completions"]), job.int_at(&["spec", "parallelism"]).unwrap_or_default()) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let time = |field: &str| job.str_at(&["status", field]).and_then(|text| text.parse::<Timestamp>().ok());
    let Some(start) = time("startTime") else { return String::new() };
    human_duration(time("completionTime").unwrap_or(now).as_second() - start.as_second())
}

fn default(job: &mut Value) {
    let unset = |job: &Value, field: &str| job.at(&["spec", field]).is_none_or(Value::is_null);
    if unset(job, "completions") && unset(job, "parallelism") {
        set_in(job, &["spec"], "completions", || Value::Int(1));
    }
    set_in(job, &["spec"], "parallelism", || Value::Int(1));
    let per_index = !unset(job, "backoffLimitPerIndex");
    set_in(job, &["spec"], "backoffLimit", || Value::Int(if per_index { i32::MAX.into() } else { 6 }));
    set_in(job, &["spec"], "completionMode", || "NonIndexed".into());
    set_in(job, &["spec"], "suspend", || Value::Bool(false));
    set_in(job, &["spec"], "manualSelector", || Value::Bool(false));
    let policy = if unset(job, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    set_in(job, &["spec"], "podReplacementPolicy", || policy.into());
    each(job, &["spec", "podFailurePolicy", "rules"], |rule| {
        each(rule, &["onPodConditions"], |condition| set_in(condition, &[], "status", || "True".into()));
    });
    if meta::labels(job).is_none_or(Object::is_empty)
        && let Some(labels) = job.at(&["spec", "template", "metadata", "labels"]).cloned()
    {
        job.set_at(&["metadata", "labels"], labels);
    }
    template(job, &["spec"]);
}

/// A job's pods are its own: they carry its UID, and its selector asks for it.
fn prepare_create(job: &mut Value, _: &Context<'_>) {
    if job.bool_at(&["spec", "manualSelector"]) == Some(true) {
        return;
    }
    let (name, uid) = (meta::name(job).to_owned(), meta::uid(job).to_owned());
    for (key, value) in [(UID_LABEL, &uid), ("controller-uid", &uid), (NAME_LABEL, &name), ("job-name", &name)] {
        job.set_at(&["spec", "template", "metadata", "labels", key], value.as_str());
    }
    job.set_at(&["spec", "selector", "matchLabels", UID_LABEL], uid);
}

fn validate(job: &Value) -> Errors {
    let spec = job.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = generated_selector(job, &path);
    errors.extend(job_spec(spec, &path));
    errors
}

/// What is wrong with the spec of a job or of a template for one.
#[must_use]
pub fn job_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match spec.get("selector").filter(|selector| !selector.is_null()) {
        None => errors.push(Error::required(&path.child("selector"), "")),
        Some(value) => errors.extend(selector::label_selector(Some(value), &path.child("selector"))),
    }
    errors.extend(pod_template::labels_match(spec, path));
    errors.extend(template_spec(spec, path));
    errors
}

/// What is wrong with a job's spec, its selector aside.
#[must_use]
pub fn template_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for field in numbers {
        errors.extend(non_negative_at(spec, field, path));
    }
    let mode = spec.str_at(&["completionMode"]);
    errors.extend(mode.and_then(|m| one_of(m, &["NonIndexed", "Indexed"], &path.child("completionMode"))));
    if mode == Some("Indexed") && spec.int_at(&["completions"]).is_none() {
        errors.push(Error::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    errors.extend(only_indexed(spec, path, mode == Some("Indexed")));
    errors.extend(failure_policy::check(spec, &path.child("podFailurePolicy")));
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_template::validate(template, &path.child("template")));
    let policy = template.str_at(&["spec", "restartPolicy"]).unwrap_or_default();
    let field = path.child("template.spec.restartPolicy");
    if matches!(policy, "" | "Always") {
        errors.push(Error::required(&field, "valid values: \"OnFailure\", \"Never\""));
    } else if policy != "Never" && spec.get("podFailurePolicy").is_some_and(|policy| !policy.is_null()) {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(Error::invalid(&field, policy, detail));
    }
    errors
}

fn only_indexed(spec: &Value, path: &Path, indexed: bool) -> Errors {
    let mut errors = Errors::new();
    let detail = "requires indexed completion mode";
    if indexed {
        return errors;
    }
    if let Some(limit) = spec.int_at(&["backoffLimitPerIndex"]) {
        errors.push(Error::invalid(&path.child("backoffLimitPerIndex"), limit, detail));
    }
    if let Some(limit) = spec.int_at(&["maxFailedIndexes"]) {
        errors.push(Error::invalid(&path.child("maxFailedIndexes"), limit, detail));
    }
    if let Some(policy) = spec.get("successPolicy").filter(|policy| !policy.is_null()) {
        let rules = policy.items_at(&["rules"]).iter().map(|rule| {
            value!({
                "SucceededIndexes": (rule.get("succeededIndexes").cloned()),
                "SucceededCount": (rule.get("succeededCount").cloned()),
            })
        });
        let shown = value!({"Rules": (Value::Array(rules.collect()))});
        errors.push(Error::invalid(&path.child("successPolicy"), shown, detail));
    }
    errors
}

/// A selector that the server made must be exactly that, and the template must carry its labels.
fn generated_selector(job: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if job.bool_at(&["spec", "manualSelector"]) == Some(true) {
        return errors;
    }
    let uid = meta::uid(job);
    let selector = job.at(&["spec", "selector"]).cloned().unwrap_or_default();
    let expected = value!({"matchLabels": (Value::Object(Object::from_iter([(UID_LABEL, Value::from(uid))])))});
    if selector != expected {
        errors.push(Error::invalid(&path.child("selector"), selector, "`selector` not auto-generated"));
    }
    for (key, value) in [(UID_LABEL, uid), (NAME_LABEL, meta::name(job))] {
        let have = job.str_at(&["spec", "template", "metadata", "labels", key]).unwrap_or_default();
        if have != value {
            let field = path.child("template.metadata.labels").key(key);
            errors.push(Error::invalid(&field, have, format!("must be '{value}'")));
        }
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let spec = new.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = job_spec(spec, &path);
    let suspended = old.bool_at(&["spec", "suspend"]) == Some(true) && old.at(&["status", "startTime"]).is_none();
    let indexed = new.str_at(&["spec", "completionMode"]) == Some("Indexed");
    for field in [
        "completions",
        "selector",
        "template",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "successPolicy",
        "managedBy",
    ] {
        // An indexed job may grow if it runs as many pods as it wants completions (KEP-3715).
        let elastic = field == "completions" && indexed && spec.get("completions") == spec.get("parallelism");
        let [mut new, mut old] = [new, old].map(|job| job.at(&["spec", field]).cloned());
        if elastic {
            continue;
        }
        if field == "template" && suspended {
            for template in [&mut new, &mut old].into_iter().flatten() {
                for scheduling in ["nodeSelector", "affinity", "tolerations", "schedulingGates"] {
                    template.remove_at(&["spec", scheduling]);
                }
                for map in ["labels", "annotations"] {
                    template.remove_at(&["metadata", map]);
                }
            }
        }
        errors.extend(immutable(new.as_ref(), old.as_ref(), &path.child(field)));
    }
    errors
}
