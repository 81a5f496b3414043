//! CronJob: jobs by the clock.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, labels, meta, names};

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
    validate: |cron_job| {
        let mut errors = check(cron_job, None);
        errors.extend(name_length(meta::name(cron_job)));
        errors
    },
    validate_update: |new, old| check(new, Some(old)),
    warnings: |new, old| {
        crate::core::pod::warnings::of_named_workload(new, old, &["spec", "jobTemplate", "spec", "template"])
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

fn check(cron_job: &Value, old: Option<&Value>) -> Errors {
    let spec = cron_job.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = schedule(spec, old, &path.child("schedule"));
    errors.extend(non_negative_at(spec, "startingDeadlineSeconds", &path));
    if old.is_none_or(|old| old.at(&["spec", "timeZone"]) != spec.get("timeZone")) {
        errors.extend(time_zone(spec, &path.child("timeZone")));
    }
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
    errors
}

/// Cron jobs of old may have longer names.
fn name_length(name: &str) -> Option<Error> {
    let long = name.len() > MAX_NAME_LENGTH;
    long.then(|| Error::invalid(&Path::new("metadata.name"), name, names::max_length(MAX_NAME_LENGTH)))
}

/// The zone is a field of its own: in the schedule it is let be where it was before.
fn schedule(spec: &Value, old: Option<&Value>, path: &Path) -> Errors {
    let schedule = spec.str_at(&["schedule"]).unwrap_or_default();
    if schedule.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    if let Err(problem) = cron::check(schedule) {
        errors.push(Error::invalid(path, schedule, problem));
    }
    let had_zone = old.is_some_and(|old| old.str_at(&["spec", "schedule"]).is_some_and(|text| text.contains("TZ")));
    let detail = match (schedule.contains("TZ"), had_zone) {
        (true, false) => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        (true, true) if spec.str_at(&["timeZone"]).is_some() => {
            "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        }
        _ => return errors,
    };
    errors.push(Error::invalid(path, schedule, detail));
    errors
}

fn job_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = job::template_spec(spec, path);
    if let Some(selector) = spec.get("selector").filter(|selector| !selector.is_null()) {
        let detail = "`selector` will be auto-generated";
        errors.push(Error::invalid(&path.child("selector"), selector.clone(), detail));
    }
    if spec.bool_at(&["manualSelector"]) == Some(true) {
        errors.push(Error::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
    errors
}

fn time_zone(spec: &Value, path: &Path) -> Errors {
    let Some(zone) = spec.str_at(&["timeZone"]) else { return Errors::new() };
    if zone.is_empty() {
        return vec![Error::invalid(path, zone, "timeZone must be nil or non-empty string")];
    }
    let well_formed = zone.split('/').all(|part| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
        !matches!(part, "" | "." | "..") && !part.starts_with('-') && part.len() <= 14 && part.bytes().all(plain)
    });
    let unknown = || Error::invalid(path, zone, format!("unknown time zone {zone}"));
    if !well_formed {
        return vec![unknown()];
    }
    let mut errors = Errors::new();
    if zone.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(Error::invalid(path, zone, detail));
    }
    if zone != "Local" && jiff::tz::TimeZone::get(zone).is_err() {
        errors.push(unknown());
    }
    errors
}
