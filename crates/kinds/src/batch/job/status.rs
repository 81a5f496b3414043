//! What is wrong with the written status of a job: what ended stays ended, and the parts agree.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, value};

use super::{condition_holds, indexes};
use crate::validate::non_negative_at;

/// What is wrong with the new status. Rules that came later hold only for what the write changes.
pub(super) fn check(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let before = old.get("status").unwrap_or(&Value::Null);
    let mut errors = Errors::new();
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.extend(non_negative_at(status, field, &path));
    }
    errors.extend(uncounted(status, &path.child("uncountedTerminatedPods")));
    errors.extend(conditions(new, old, &path));
    errors.extend(finished(new, old, &path));
    errors.extend(index_lists(new, old, &path));
    errors.extend(pods(new, old, &path));
    errors.extend(success(new, old, &path.child("conditions")));
    for field in ["failed", "succeeded"] {
        let (count, earlier) = (status.int_at(&[field]).unwrap_or_default(), before.int_at(&[field]));
        if count < earlier.unwrap_or_default() {
            let detail = format!("cannot decrease the {field} counter");
            errors.push(Error::invalid(&path.child(field), count, detail));
        }
    }
    errors.extend(times(new, old, &path));
    errors
}

fn changed(new: &Value, old: &Value, path: &[&str]) -> bool {
    new.at(path) != old.at(path)
}

fn condition_changed(new: &Value, old: &Value, kind: &str) -> bool {
    condition_holds(new, kind) != condition_holds(old, kind)
}

fn is_finished(job: &Value) -> bool {
    condition_holds(job, "Complete") || condition_holds(job, "Failed")
}

fn about_conditions(path: &Path, detail: &str) -> Error {
    Error { value: None, ..Error::invalid(path, Value::Null, detail) }
}

fn uncounted(status: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let all = status.items_at(&["uncountedTerminatedPods", list]);
        for (i, uid) in all.iter().filter_map(Value::as_str).enumerate() {
            let path = path.child(list).index(i);
            if uid.is_empty() {
                errors.push(Error::invalid(&path, uid, "must not be empty"));
            } else if seen.contains(&uid) {
                errors.push(Error::duplicate(&path, uid));
            } else {
                seen.push(uid);
            }
        }
    }
    errors
}

fn conditions(new: &Value, old: &Value, path: &Path) -> Errors {
    let list = path.child("conditions");
    let is = |kind: &str| condition_holds(new, kind);
    let toggled = |kind: &str| condition_changed(new, old, kind);
    let mut errors = Errors::new();
    if (toggled("Complete") || toggled("Failed")) && is("Complete") && is("Failed") {
        errors.push(about_conditions(&list, "cannot set Complete=True and Failed=true conditions"));
    }
    if (toggled("Complete") || toggled("FailureTarget")) && is("Complete") && is("FailureTarget") {
        errors.push(about_conditions(&list, "cannot set Complete=True and FailureTarget=true conditions"));
    }
    let field = path.child("completionTime");
    let end = new.at(&["status", "completionTime"]);
    let end_changed = changed(new, old, &["status", "completionTime"]);
    if (toggled("Complete") || end_changed) && end.is_some() && !is("Complete") {
        let detail = "cannot set completionTime when there is no Complete=True condition";
        errors.push(Error::invalid(&field, end.cloned(), detail));
    }
    if (toggled("Complete") || end_changed) && end.is_none() && is("Complete") {
        errors.push(Error::required(&field, "completionTime is required for Complete jobs"));
    }
    let start = new.str_at(&["status", "startTime"]);
    if let (Some(start), Some(end)) = (start, new.str_at(&["status", "completionTime"]))
        && (end_changed || changed(new, old, &["status", "startTime"]))
        && end < start
    {
        errors.push(Error::invalid(&field, end, "must be equal to or after `startTime`"));
    }
    if toggled("Failed") && is("Failed") && !is("FailureTarget") {
        errors
            .push(about_conditions(&list, "cannot set Failed=True condition without the FailureTarget=true condition"));
    }
    if toggled("Complete") && is("Complete") && !is("SuccessCriteriaMet") {
        let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        errors.push(about_conditions(&list, detail));
    }
    errors
}

fn finished(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let just = is_finished(new) != is_finished(old);
    if !is_finished(new) {
        return errors;
    }
    let active = new.int_at(&["status", "active"]).unwrap_or_default();
    if (just || changed(new, old, &["status", "active"])) && active > 0 {
        errors.push(Error::invalid(&path.child("active"), active, "active>0 is invalid for finished job"));
    }
    if (just || changed(new, old, &["status", "startTime"])) && new.at(&["status", "startTime"]).is_none() {
        errors.push(Error::required(&path.child("startTime"), "startTime is required for finished job"));
    }
    let left = |list: &str| new.items_at(&["status", "uncountedTerminatedPods", list]).to_vec();
    let (succeeded, failed) = (left("succeeded"), left("failed"));
    let touched = just || changed(new, old, &["status", "uncountedTerminatedPods"]);
    if touched && !(succeeded.is_empty() && failed.is_empty()) {
        let null_or = |list: Vec<Value>| if list.is_empty() { Value::Null } else { Value::Array(list) };
        let shown = value!({"Succeeded": (null_or(succeeded)), "Failed": (null_or(failed))});
        errors.push(Error::invalid(&path.child("uncountedTerminatedPods"), shown, "must be empty for finished job"));
    }
    errors
}

fn index_lists(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (completed, failed) = (path.child("completedIndexes"), path.child("failedIndexes"));
    let completions = new.int_at(&["spec", "completions"]);
    let limited = new.int_at(&["spec", "backoffLimitPerIndex"]).is_some();
    let done = new.str_at(&["status", "completedIndexes"]).unwrap_or_default();
    let lost = new.str_at(&["status", "failedIndexes"]);
    let [done_changed, lost_changed] =
        ["completedIndexes", "failedIndexes"].map(|field| changed(new, old, &["status", field]));
    if let Some(problem) = completions.filter(|_| done_changed).and_then(|n| indexes::count(done, n).err()) {
        errors.push(Error::invalid(&completed, done, format!("error parsing completedIndexes: {problem}")));
    }
    if let (Some(completions), Some(lost), true) = (completions, lost, lost_changed && limited)
        && let Err(problem) = indexes::count(lost, completions)
    {
        errors.push(Error::invalid(&failed, lost, format!("error parsing failedIndexes: {problem}")));
    }
    let indexed = new.str_at(&["spec", "completionMode"]) == Some("Indexed");
    if done_changed && !done.is_empty() && !indexed {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(Error::invalid(&completed, done, detail));
    }
    if let Some(lost) = lost.filter(|_| lost_changed && !limited) {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(Error::invalid(&failed, lost, detail));
    }
    if let (Some(completions), Some(lost), true) = (completions, lost, done_changed || lost_changed)
        && let Some(index) = indexes::overlap(done, lost, completions)
    {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(Error::invalid(&failed, lost, detail));
    }
    errors
}

fn pods(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let count = |field: &str| new.int_at(&["status", field]).unwrap_or_default();
    let just = is_finished(new) != is_finished(old);
    let terminating = count("terminating");
    if (just || changed(new, old, &["status", "terminating"])) && terminating > 0 && is_finished(new) {
        let detail = "terminating>0 is invalid for finished job";
        errors.push(Error::invalid(&path.child("terminating"), terminating, detail));
    }
    let touched = ["ready", "active"].iter().any(|field| changed(new, old, &["status", field]));
    if touched && count("ready") > count("active") {
        errors.push(Error::invalid(&path.child("ready"), count("ready"), "cannot set more ready pods than active"));
    }
    errors
}

fn success(new: &Value, old: &Value, path: &Path) -> Errors {
    let is = |kind: &str| condition_holds(new, kind);
    let met = is("SuccessCriteriaMet");
    let policy = new.at(&["spec", "successPolicy"]).is_some_and(|policy| !policy.is_null());
    let rules = [
        (met && is("Failed"), "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met && is("FailureTarget"), "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            policy && !met && is("Complete"),
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
    ];
    let mut errors: Errors =
        rules.iter().filter(|(broken, _)| *broken).map(|(_, detail)| about_conditions(path, detail)).collect();
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if condition_holds(old, kind) && !is(kind) {
            errors.push(about_conditions(path, &format!("cannot disable the terminal {kind}=True condition")));
        }
    }
    errors
}

fn times(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let of = |job: &Value, field: &str| job.at(&["status", field]).cloned();
    let (end, ended) = (of(new, "completionTime"), of(old, "completionTime"));
    if end.is_some() && ended.is_some() && end != ended {
        errors.push(Error::invalid(&path.child("completionTime"), end, "field is immutable"));
    }
    let (start, started) = (of(new, "startTime"), of(old, "startTime"));
    if started.is_some() && start != started && new.bool_at(&["spec", "suspend"]) != Some(true) {
        let detail = "startTime cannot be removed for unsuspended job";
        errors.push(Error::required(&path.child("startTime"), detail));
    }
    let list = path.child("conditions");
    let met = |job: &Value| condition_holds(job, "SuccessCriteriaMet");
    if met(old) && !met(new) {
        errors.push(about_conditions(&list, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if condition_holds(old, "Complete") && !met(old) && met(new) {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(about_conditions(&list, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn what_ended_stays_ended() {
        let done = value!({"spec": {}, "status": {"conditions": [{"type": "Complete", "status": "True"},
            {"type": "SuccessCriteriaMet", "status": "True"}], "startTime": "2020-01-01T00:00:00Z", "completionTime": "2020-01-01T00:00:01Z"}});
        let new = value!({"spec": {}, "status": {"startTime": "2020-01-01T00:00:00Z", "ready": 1}});
        expect_test::expect!["[status.ready: Invalid value: 1: cannot set more ready pods than active, status.conditions: Invalid value: cannot disable the terminal Complete=True condition, status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition]"]
            .assert_eq(&field::aggregate(&check(&new, &done)));
        let failed = value!({"spec": {}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}});
        expect_test::expect!["[status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition, status.startTime: Required value: startTime is required for finished job]"]
            .assert_eq(&field::aggregate(&check(&failed, &value!({"spec": {}}))));
    }
}
