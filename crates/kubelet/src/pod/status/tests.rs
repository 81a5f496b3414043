//! Pictures of pods: what is seen, what the status says.

use std::fmt::Write as _;

use expect_test::expect;
use serde_json::json;

use super::*;
use crate::pod::memory::{Probed, Termination, Waiting};
use crate::pod::observed::{self, Instance, Sandbox};

fn pod(policy: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {
            "restartPolicy": policy,
            "initContainers": [{"name": "i", "image": "image"}],
            "containers": [{"name": "a", "image": "image", "readinessProbe": {"exec": {"command": ["x"]}}}],
        }
    }))
    .unwrap()
}

fn run(name: &str, phase: observed::Phase, exit_code: i32) -> Instance {
    let (id, sandbox) = (format!("{name}-id"), "box".to_owned());
    Instance { id, name: name.into(), sandbox, phase, exit_code, ..Instance::default() }
}

fn show(pod: &Pod, instances: Vec<Instance>, memory: &Memory) -> String {
    let sandbox = Sandbox { id: "box".into(), ready: true, ips: vec!["10.0.0.2".into()], ..Sandbox::default() };
    let observed = Observed { sandboxes: vec![sandbox], instances };
    let host_ips = ["192.0.2.1".to_owned()];
    let now = Timestamp::from_second(1_000_000).unwrap();
    let status = status(pod, &View { observed: &observed, memory, host_ips: &host_ips, now });
    let mut text = format!("{} ip={}\n", status.phase.unwrap(), status.pod_ip.unwrap());
    for condition in status.conditions.unwrap() {
        let (reason, message) = (condition.reason.unwrap_or_default(), condition.message.unwrap_or_default());
        writeln!(text, "  {}={} {reason} {message}", condition.type_, condition.status).unwrap();
    }
    for status in status.init_container_statuses.unwrap().iter().chain(&status.container_statuses.unwrap()) {
        let state = status.state.as_ref().unwrap();
        let word = match (&state.waiting, &state.running, &state.terminated) {
            (Some(waiting), _, _) => format!("waiting {}", waiting.reason.as_ref().unwrap()),
            (_, Some(_), _) => "running".to_owned(),
            (_, _, Some(ended)) => format!("{} {}", ended.reason.as_ref().unwrap(), ended.exit_code),
            _ => unreachable!(),
        };
        let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref()).is_some();
        writeln!(
            text,
            "  {}: {word} ready={} started={} last={last}",
            status.name,
            status.ready,
            status.started.unwrap()
        )
        .unwrap();
    }
    text
}

#[test]
fn a_pod_comes_up() {
    use observed::Phase::{Exited, Running};
    let pod = pod("Always");
    let mut memory = Memory::default();
    let mut text = show(&pod, vec![], &memory);
    text += &show(&pod, vec![run("a", Running, 0), run("i", Exited, 0)], &memory);
    memory.probes.insert("a-id".into(), Probed { readiness: Some(true), ..Probed::default() });
    text += &show(&pod, vec![run("a", Running, 0), run("i", Exited, 0)], &memory);
    expect![[r#"
        Pending ip=10.0.0.2
          PodReadyToStartContainers=True  
          Initialized=False ContainersNotInitialized containers with incomplete status: [i]
          Ready=False ContainersNotReady containers with unready status: [a]
          ContainersReady=False ContainersNotReady containers with unready status: [a]
          PodScheduled=True  
          i: waiting PodInitializing ready=false started=false last=false
          a: waiting PodInitializing ready=false started=false last=false
        Running ip=10.0.0.2
          PodReadyToStartContainers=True  
          Initialized=True  
          Ready=False ContainersNotReady containers with unready status: [a]
          ContainersReady=False ContainersNotReady containers with unready status: [a]
          PodScheduled=True  
          i: Completed 0 ready=true started=false last=false
          a: running ready=false started=true last=false
        Running ip=10.0.0.2
          PodReadyToStartContainers=True  
          Initialized=True  
          Ready=True  
          ContainersReady=True  
          PodScheduled=True  
          i: Completed 0 ready=true started=false last=false
          a: running ready=true started=true last=false
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_container_crashes_or_the_pod_ends() {
    use observed::Phase::Exited;
    let runs = |code| vec![run("a", Exited, code), run("i", Exited, 0)];
    let mut memory = Memory::default();
    let retry = Timestamp::from_second(1_000_010).unwrap();
    let waiting = Waiting { reason: "CrashLoopBackOff".into(), message: "back-off".into(), retry };
    memory.waiting.insert("a".into(), waiting);
    let mut text = show(&pod("Always"), runs(1), &memory);
    text += &show(&pod("Never"), runs(0), &Memory::default());
    text += &show(&pod("Never"), runs(3), &Memory::default());
    let termination = Some(Termination { since: retry, grace_seconds: 30 });
    text += &show(&pod("Always"), runs(137), &Memory { termination, ..Memory::default() });
    expect![[r#"
        Running ip=10.0.0.2
          PodReadyToStartContainers=True  
          Initialized=True  
          Ready=False ContainersNotReady containers with unready status: [a]
          ContainersReady=False ContainersNotReady containers with unready status: [a]
          PodScheduled=True  
          i: Completed 0 ready=true started=false last=false
          a: waiting CrashLoopBackOff ready=false started=false last=true
        Succeeded ip=10.0.0.2
          PodReadyToStartContainers=True  
          Initialized=True PodCompleted 
          Ready=False PodCompleted 
          ContainersReady=False PodCompleted 
          PodScheduled=True  
          i: Completed 0 ready=true started=false last=false
          a: Completed 0 ready=false started=false last=false
        Failed ip=10.0.0.2
          PodReadyToStartContainers=True  
          Initialized=True  
          Ready=False PodFailed 
          ContainersReady=False PodFailed 
          PodScheduled=True  
          i: Completed 0 ready=true started=false last=false
          a: Error 3 ready=false started=false last=false
        Failed ip=10.0.0.2
          PodReadyToStartContainers=True  
          Initialized=True  
          Ready=False PodFailed 
          ContainersReady=False PodFailed 
          PodScheduled=True  
          i: Completed 0 ready=true started=false last=false
          a: Error 137 ready=false started=false last=false
    "#]]
    .assert_eq(&text);
}
