//! The pod's conditions: which hurdle it has taken, in upstream's order and words.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Phase, View, whole_second};
use crate::pod::spec::{self, Role};

/// The kubelet's own conditions in the order in which it writes them.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

struct Verdict {
    status: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Self { status: true, reason: "", message: String::new() }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self { status: false, reason, message }
    }
}

pub(super) fn conditions(
    pod: &Pod,
    view: &View<'_>,
    phase: Phase,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> Vec<PodCondition> {
    let containers_ready = containers_ready(pod, phase, init, main);
    let sandbox = view
        .observed
        .sandbox()
        .is_some_and(|sandbox| sandbox.ready && (spec::host_network(pod) || !sandbox.ips.is_empty()));
    let verdicts = [
        Verdict { status: sandbox, reason: "", message: String::new() },
        initialized(pod, phase, init, main),
        ready(pod, &containers_ready),
        containers_ready,
        Verdict::yes(),
    ];
    let old = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let own = OWN.into_iter().zip(verdicts);
    let mut all: Vec<PodCondition> = own.map(|(name, verdict)| condition(pod, name, verdict, old, view.now)).collect();
    all.extend(old.iter().filter(|condition| !OWN.contains(&condition.type_.as_str())).cloned());
    all
}

fn condition(pod: &Pod, name: &str, verdict: Verdict, old: &[PodCondition], now: Timestamp) -> PodCondition {
    let status = if verdict.status { "True" } else { "False" };
    let before = old.iter().find(|condition| condition.type_ == name);
    let since = before.filter(|before| before.status == status).and_then(|before| before.last_transition_time.clone());
    PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: Some(verdict.reason.to_owned()).filter(|reason| !reason.is_empty()),
        message: Some(verdict.message).filter(|message| !message.is_empty()),
        last_transition_time: since.or(Some(Time(whole_second(now)))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    }
}

fn initialized(pod: &Pod, phase: Phase, init: &[ContainerStatus], main: &[ContainerStatus]) -> Verdict {
    let begun = main.iter().any(|status| status.container_id.is_some());
    let done = |((role, _), status): &((Role, _), &ContainerStatus)| match role {
        Role::Sidecar => begun || status.started.unwrap_or(false),
        _ => status.ready || begun,
    };
    let incomplete: Vec<&str> = spec::init_containers(pod)
        .zip(init)
        .filter(|each| !done(each))
        .map(|(_, status)| status.name.as_str())
        .collect();
    if phase == Phase::Succeeded && begun || incomplete.is_empty() {
        let completed = phase == Phase::Succeeded;
        return Verdict { status: true, reason: if completed { "PodCompleted" } else { "" }, message: String::new() };
    }
    let message = format!("containers with incomplete status: {}", list(&incomplete));
    Verdict::no("ContainersNotInitialized", message)
}

fn containers_ready(pod: &Pod, phase: Phase, init: &[ContainerStatus], main: &[ContainerStatus]) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::no("PodCompleted", String::new()),
        Phase::Failed => return Verdict::no("PodFailed", String::new()),
        _ => {}
    }
    let sidecars = spec::init_containers(pod).zip(init).filter(|((role, _), _)| *role == Role::Sidecar);
    let counted = sidecars.map(|(_, status)| status).chain(main);
    let unready: Vec<&str> = counted.filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ContainersNotReady", format!("containers with unready status: {}", list(&unready)))
}

fn ready(pod: &Pod, containers: &Verdict) -> Verdict {
    if !containers.status {
        return Verdict::no(containers.reason, containers.message.clone());
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let gates = spec::spec(pod).readiness_gates.iter().flatten();
    let unready = gates.filter_map(|gate| {
        let name = &gate.condition_type;
        match conditions.iter().find(|condition| condition.type_ == *name) {
            None => Some(format!("corresponding condition of pod readiness gate \"{name}\" does not exist.")),
            Some(condition) if condition.status != "True" => {
                Some(format!("the status of pod readiness gate \"{name}\" is not \"True\", but {}", condition.status))
            }
            Some(_) => None,
        }
    });
    let unready: Vec<String> = unready.collect();
    if unready.is_empty() { Verdict::yes() } else { Verdict::no("ReadinessGatesNotReady", unready.join(", ")) }
}

fn list(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}
