//! CronJob: jobs by the clock.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, labels, meta};

use super::{cron, job};
use crate::kind::{BASE, Generation, Kind, STATUS};
use crate::pod_spec::default::{set_in, template};
use crate::table::{
    AGE, CONTAINERS, Describe, IMAGES, NAME, age, boolean, containers_and_images, integer, since, str, str_or, text,
};
use crate::validate::{non_negative_at, one_of};

const SPEC: &str = "io.k8s.api.batch.v1.CronJobSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.batch.v1.CronJobStatus";
/// A job's name is that of its cron job and eleven characters more.
const MAX_NAME_LENGTH: usize = 52;

/// The kind.
pub static KIND: Kind = Kind {
    group: "batch",
    kind: "CronJob",
    plural: "cronjobs",
    short_names: &["cj"],
    categories: &["all"],
    storage: "cronjobs",
    schema: "io.k8s.api.batch.v1.CronJob",
    subresources: &[STATUS],
    columns: &[
        NAME,
        text("Schedule", Describe::Field(SPEC, "schedule")),
        text("Timezone", Describe::Field(SPEC, "timeZone")),
        boolean("Suspend", Describe::Field(SPEC, "suspend")),
        integer("Active", Describe::Field(STATUS_SCHEMA, "active")),
        text("Last Schedule", Describe::Field(STATUS_SCHEMA, "lastScheduleTime")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Describe::Field("io.k8s.api.batch.v1.JobSpec", "selector")).wide(),
    ],
    row,
    generation: Generation::Of(&["spec"]),
    default,
    validate,
    validate_update: |new, _| validate(new),
    warnings: |new, old| {
        crate::core::pod::warnings::of_workload(new, old, &["spec", "jobTemplate", "spec", "template"])
    },
    ..BASE
};

fn row(cron_job: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(cron_job.at(&["spec", "jobTemplate", "spec", "template", "spec"]));
    let last = cron_job.str_at(&["status", "lastScheduleTime"]).filter(|time| !time.is_empty());
    let suspend = if cron_job.bool_at(&["spec", "suspend"]) == Some(true) { "True" } else { "False" };
    let active = i64::try_from(cron_job.items_at(&["status", "active"]).len()).unwrap_or(i64::MAX);
    vec![
        meta::name(cron_job).into(),
        str(cron_job, &["spec", "schedule"]),
        str_or(cron_job, &["spec", "timeZone"], "<none>"),
        suspend.into(),
        active.into(),
        last.map_or_else(|| "<none>".into(), |last| since(last, now)),
        age(cron_job, now),
        containers,
        images,
        labels::format_label_selector(cron_job.at(&["spec", "jobTemplate", "spec", "selector"])).into(),
    ]
}

fn default(cron_job: &mut Value) {
    set_in(cron_job, &["spec"], "concurrencyPolicy", || "Allow".into());
    set_in(cron_job, &["spec"], "suspend", || Value::Bool(false));
    set_in(cron_job, &["spec"], "successfulJobsHistoryLimit", || Value::Int(3));
    set_in(cron_job, &["spec"], "failedJobsHistoryLimit", || Value::Int(1));
    template(cron_job, &["spec", "jobTemplate", "spec"]);
}

fn validate(cron_job: &Value) -> Errors {
    let spec = cron_job.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let schedule = spec.str_at(&["schedule"]).unwrap_or_default();
    if schedule.is_empty() {
        errors.push(Error::required(&path.child("schedule"), ""));
    } else if let Err(problem) = cron::check(schedule) {
        errors.push(Error::invalid(&path.child("schedule"), schedule, problem));
    }
    errors.extend(non_negative_at(spec, "startingDeadlineSeconds", &path));
    errors.extend(time_zone(spec, schedule, &path));
    let policy = spec.str_at(&["concurrencyPolicy"]).unwrap_or_default();
    let field = path.child("concurrencyPolicy");
    if policy.is_empty() {
        errors.push(Error::required(&field, ""));
    } else {
        errors.extend(one_of(policy, &["Allow", "Forbid", "Replace"], &field));
    }
    let job_template = spec.at(&["jobTemplate", "spec"]).unwrap_or(&Value::Null);
    errors.extend(job_spec(job_template, &path.child("jobTemplate.spec")));
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(non_negative_at(spec, field, &path));
    }
    if meta::name(cron_job).len() > MAX_NAME_LENGTH {
        let detail = "must be no more than 52 characters";
        errors.push(Error::invalid(&Path::new("metadata.name"), meta::name(cron_job), detail));
    }
    errors
}

fn job_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = job::template_spec(spec, path);
    if spec.bool_at(&["manualSelector"]) == Some(true) {
        errors.push(Error::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
    errors
}

fn time_zone(spec: &Value, schedule: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(zone) = spec.str_at(&["timeZone"]) else { return errors };
    let path = path.child("timeZone");
    if schedule.contains("TZ") {
        let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(Error::invalid(&path, zone, detail));
    }
    if zone.is_empty() {
        errors.push(Error::invalid(&path, zone, "timeZone must be nil or non-empty string"));
    } else if zone.eq_ignore_ascii_case("local") {
        errors.push(Error::invalid(
            &path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ));
    } else if jiff::tz::TimeZone::get(zone).is_err() {
        errors.push(Error::invalid(&path, zone, format!("unknown time zone {zone}")));
    }
    errors
}
