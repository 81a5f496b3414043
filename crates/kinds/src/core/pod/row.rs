//! How a pod looks in a table.

use jiff::Timestamp;
use machinery::{Value, meta, value};

use crate::pod_spec::is_sidecar;
use crate::table::{age, since, str_or};

/// What the containers' states add up to.
#[derive(Default)]
struct Summary {
    reason: String,
    restarts: i64,
    last_restart: String,
    ready: i64,
    total: i64,
}

/// The cells.
pub(super) fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(pod);
    let mut restarts = summary.restarts.to_string();
    if summary.restarts != 0 && !summary.last_restart.is_empty() {
        let ago = since(&summary.last_restart, now);
        restarts = format!("{restarts} ({} ago)", ago.as_str().unwrap_or_default());
    }
    let ip = pod.items_at(&["status", "podIPs"]).first().and_then(|ip| ip.str_at(&["ip"])).filter(|ip| !ip.is_empty());
    vec![
        meta::name(pod).into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        ip.unwrap_or("<none>").into(),
        str_or(pod, &["spec", "nodeName"], "<none>"),
        str_or(pod, &["status", "nominatedNodeName"], "<none>"),
        gates(pod).into(),
    ]
}

/// The row's conditions: clients hide pods that ended by them.
pub(super) fn conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match pod.str_at(&["status", "phase"]) {
        Some("Succeeded") => ("Succeeded", "The pod has completed successfully."),
        Some("Failed") => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![value!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

fn gates(pod: &Value) -> String {
    let gates = pod.items_at(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let holds =
        |gate: &&Value| gate.str_at(&["conditionType"]).is_some_and(|kind| condition(pod, kind) == Some("True"));
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    let found = pod.items_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == Some(kind))?;
    found.str_at(&["status"])
}

fn summarize(pod: &Value) -> Summary {
    let phase = pod.str_at(&["status", "phase"]).unwrap_or_default();
    let own = pod.str_at(&["status", "reason"]).filter(|reason| !reason.is_empty());
    let mut summary = Summary { reason: own.unwrap_or(phase).to_owned(), ..Summary::default() };
    let gated = pod
        .items_at(&["status", "conditions"])
        .iter()
        .any(|c| c.str_at(&["type"]) == Some("PodScheduled") && c.str_at(&["reason"]) == Some("SchedulingGated"));
    if gated {
        "SchedulingGated".clone_into(&mut summary.reason);
    }
    let sidecars = pod.items_at(&["spec", "initContainers"]).iter().filter(|c| is_sidecar(c)).count();
    summary.total = count(pod.items_at(&["spec", "containers"]).len() + sidecars);
    let sidecar_restarts = initial(pod, &mut summary);
    let initializing = sidecar_restarts.is_none();
    if !initializing || condition(pod, "Initialized") == Some("True") {
        (summary.restarts, summary.last_restart) = sidecar_restarts.unwrap_or_else(|| sidecars_of(pod));
        regular(pod, &mut summary);
    }
    if meta::is_deleting(pod) {
        if pod.str_at(&["status", "reason"]) == Some("NodeLost") {
            "Unknown".clone_into(&mut summary.reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

/// Adds up init containers until one that has not ended well; gives the sidecars' restarts if all have.
fn initial(pod: &Value, summary: &mut Summary) -> Option<(i64, String)> {
    let statuses = pod.items_at(&["status", "initContainerStatuses"]);
    for (i, status) in statuses.iter().enumerate() {
        add_restarts(status, &mut summary.restarts, &mut summary.last_restart);
        let terminated = status.at(&["state", "terminated"]).filter(|state| !state.is_null());
        if terminated.is_some_and(|state| state.int_at(&["exitCode"]).unwrap_or_default() == 0) {
            continue;
        }
        if is_sidecar_status(pod, status) && status.bool_at(&["started"]) == Some(true) {
            summary.ready += i64::from(status.bool_at(&["ready"]) == Some(true));
            continue;
        }
        let waiting = status.str_at(&["state", "waiting", "reason"]).unwrap_or_default();
        summary.reason = match terminated {
            Some(state) => format!("Init:{}", ended(state)),
            None if !matches!(waiting, "" | "PodInitializing") => format!("Init:{waiting}"),
            None => format!("Init:{i}/{}", pod.items_at(&["spec", "initContainers"]).len()),
        };
        return None;
    }
    Some(sidecars_of(pod))
}

fn sidecars_of(pod: &Value) -> (i64, String) {
    let (mut restarts, mut last) = (0, String::new());
    let statuses = pod.items_at(&["status", "initContainerStatuses"]).iter();
    for status in statuses.filter(|status| is_sidecar_status(pod, status)) {
        add_restarts(status, &mut restarts, &mut last);
    }
    (restarts, last)
}

fn is_sidecar_status(pod: &Value, status: &Value) -> bool {
    let name = status.str_at(&["name"]);
    pod.items_at(&["spec", "initContainers"]).iter().any(|c| c.str_at(&["name"]) == name && is_sidecar(c))
}

fn regular(pod: &Value, summary: &mut Summary) {
    let mut running = false;
    for status in pod.items_at(&["status", "containerStatuses"]).iter().rev() {
        add_restarts(status, &mut summary.restarts, &mut summary.last_restart);
        let waiting = status.str_at(&["state", "waiting", "reason"]).filter(|reason| !reason.is_empty());
        let terminated = status.at(&["state", "terminated"]).filter(|state| !state.is_null());
        if let Some(reason) = waiting {
            reason.clone_into(&mut summary.reason);
        } else if let Some(state) = terminated {
            summary.reason = ended(state);
        } else if status.bool_at(&["ready"]) == Some(true) && status.at(&["state", "running"]).is_some() {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && running {
        let ready = condition(pod, "Ready") == Some("True");
        summary.reason = if ready { "Running" } else { "NotReady" }.to_owned();
    }
}

fn ended(state: &Value) -> String {
    match (state.str_at(&["reason"]).unwrap_or_default(), state.int_at(&["signal"]).unwrap_or_default()) {
        ("", 0) => format!("ExitCode:{}", state.int_at(&["exitCode"]).unwrap_or_default()),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Times in the API's form sort as texts.
fn add_restarts(status: &Value, restarts: &mut i64, last: &mut String) {
    *restarts += status.int_at(&["restartCount"]).unwrap_or_default();
    let finished = status.str_at(&["lastState", "terminated", "finishedAt"]).unwrap_or_default();
    if finished > last.as_str() {
        finished.clone_into(last);
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let show = |status: Value| {
            let summary = summarize(
                &value!({"spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}, "status": status}),
            );
            format!("{}/{} {}\n", summary.ready, summary.total, summary.reason)
        };
        expect_test::expect![[r"
            0/1 Evicted
            0/1 ImagePullBackOff
            1/1 Running
            0/1 Signal:9
            0/1 Init:CrashLoopBackOff
            0/1 Init:0/1
        "]]
        .assert_eq(
            &[
                value!({"phase": "Failed", "reason": "Evicted"}),
                value!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}),
                value!({"phase": "Running", "containerStatuses": [{"ready": true, "state": {"running": {}}}]}),
                value!({"containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}),
                value!({"initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                value!({"initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            ]
            .map(show)
            .concat(),
        );
    }
}
