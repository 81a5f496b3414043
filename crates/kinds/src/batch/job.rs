//! Job: pods that run until enough of them have ended well.

use jiff::Timestamp;
use machinery::{Object, Value, labels, meta};

use crate::kind::{BASE, Context, Generation, Kind, MetadataChecks, STATUS, Selectable, Subresource, path_value};
use crate::pod_spec::default::{each, set_absent, set_in, template};
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, human_duration, text};

mod check;
mod failure_policy;
mod indexes;
mod status;
mod success_policy;
mod update;

pub(crate) use check::template_spec;

const SPEC: &str = "io.k8s.api.batch.v1.JobSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.batch.v1.JobStatus";
const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
/// The labels of a job's pods, and whether they are for its UID; the others are for its name.
const OWN_LABELS: [(&str, bool); 4] =
    [("controller-uid", true), ("job-name", false), (UID_LABEL, true), (NAME_LABEL, false)];

/// The kind.
pub static KIND: Kind = Kind {
    group: "batch",
    kind: "Job",
    plural: "jobs",
    categories: &["all"],
    storage: "jobs",
    schema: "io.k8s.api.batch.v1.Job",
    subresources: &[Subresource { validate: status::check, ..STATUS }],
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
    validate: |job| check::job(job, true),
    validate_update: update::check,
    warnings: |new, old| crate::core::pod::warnings::of_named_workload(new, old, &["spec", "template"]),
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(job: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(job.at(&["spec", "template", "spec"]));
    vec![
        meta::name(job).into(),
        status_cell(job).into(),
        completions(job).into(),
        duration(job, now).into(),
        age(job, now),
        containers,
        images,
        labels::format_label_selector(job.at(&["spec", "selector"])).into(),
    ]
}

/// Whether the job has the condition.
fn condition_holds(job: &Value, kind: &str) -> bool {
    let mut all = job.items_at(&["status", "conditions"]).iter();
    all.any(|c| c.str_at(&["type"]) == Some(kind) && c.str_at(&["status"]) == Some("True"))
}

fn status_cell(job: &Value) -> &'static str {
    let has = |kind: &str| condition_holds(job, kind);
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
    set_absent(job, &["spec"], "completionMode", || "NonIndexed".into());
    set_in(job, &["spec"], "suspend", || Value::Bool(false));
    set_in(job, &["spec"], "manualSelector", || Value::Bool(false));
    let policy = if unset(job, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    set_absent(job, &["spec"], "podReplacementPolicy", || policy.into());
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
    for (key, of_uid) in OWN_LABELS {
        // A client's own value stays, and is found wrong later if it differs.
        let value = if of_uid { &uid } else { &name };
        let path = ["spec", "template", "metadata", "labels", key];
        if job.at(&path).is_none() {
            job.set_at(&path, value.as_str());
        }
    }
    let path = ["spec", "selector", "matchLabels", UID_LABEL];
    if job.at(&path).is_none() {
        job.set_at(&path, uid);
    }
}
