//! What may become of the status of a container that has ended: only one that restarts may run again.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

/// What is wrong with the changes of the containers' states.
pub(super) fn check(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if !restarts_as_a_whole(old) {
        errors.extend(list(new, old, "containerStatuses", "containers", path));
        errors.extend(list(new, old, "initContainerStatuses", "initContainers", path));
    }
    errors.extend(list(new, old, "ephemeralContainerStatuses", "", path));
    errors
}

/// Whether a rule of some container restarts all of them (KEP-5532).
fn restarts_as_a_whole(pod: &Value) -> bool {
    let all = ["containers", "initContainers"].into_iter().flat_map(|list| pod.items_at(&["spec", list]));
    all.flat_map(|container| container.items_at(&["restartPolicyRules"]))
        .any(|rule| rule.str_at(&["action"]) == Some("RestartAllContainers"))
}

fn list(new: &Value, old: &Value, statuses: &str, containers: &str, path: &Path) -> Errors {
    let path = path.child(statuses);
    let mut errors = Errors::new();
    for (i, before) in old.items_at(&["status", statuses]).iter().enumerate() {
        let name = before.str_at(&["name"]);
        let Some(ended) = before.at(&["state", "terminated"]).filter(|state| !state.is_null()) else { continue };
        let mut after = new.items_at(&["status", statuses]).iter();
        let runs_again = after.any(|status| {
            status.str_at(&["name"]) == name && status.at(&["state", "terminated"]).is_none_or(Value::is_null)
        });
        let container = old.items_at(&["spec", containers]).iter().find(|c| c.str_at(&["name"]) == name);
        let exit_code = ended.int_at(&["exitCode"]).unwrap_or_default();
        if runs_again && !container.is_some_and(|container| may_restart(container, old, exit_code)) {
            let detail = "may not be transitioned to non-terminated state";
            errors.push(Error::forbidden(&path.index(i).child("state"), detail));
        }
    }
    errors
}

/// The container's own rules and policy come before the pod's (KEP-5307).
fn may_restart(container: &Value, pod: &Value, exit_code: i64) -> bool {
    let own = container.str_at(&["restartPolicy"]);
    let matches = |rule: &&Value| {
        let listed = rule.items_at(&["exitCodes", "values"]).iter().any(|code| code.as_i64() == Some(exit_code));
        match rule.str_at(&["exitCodes", "operator"]) {
            Some("In") => listed,
            Some("NotIn") => !listed,
            _ => false,
        }
    };
    if own.is_some() && container.items_at(&["restartPolicyRules"]).iter().any(|rule| matches(&rule)) {
        return true;
    }
    match own.or_else(|| pod.str_at(&["spec", "restartPolicy"])) {
        Some("Never") => false,
        Some("OnFailure") => exit_code != 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn only_what_restarts_runs_again() {
        let pod = |state: Value| {
            let both = value!([{"name": "a", "state": (state.clone())}, {"name": "b", "state": state}]);
            value!({"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "a"}, {"name": "b", "restartPolicy": "Never"}]},
                "status": {"containerStatuses": both}})
        };
        let of = |code: i64| {
            let old = pod(value!({"terminated": {"exitCode": code}}));
            field::aggregate(&check(&pod(value!({"running": {}})), &old, &Path::new("status")))
        };
        expect_test::expect![
            "status.containerStatuses[1].state: Forbidden: may not be transitioned to non-terminated state"
        ]
        .assert_eq(&of(1));
        expect_test::expect!["[status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state, status.containerStatuses[1].state: Forbidden: may not be transitioned to non-terminated state]"]
            .assert_eq(&of(0));
    }
}
