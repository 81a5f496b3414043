//! Pictures of pods: what is asked for and seen, what is planned.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;
use crate::pod::labels;
use crate::pod::memory::{Probed, Termination, Waiting};
use crate::pod::observed::{Instance, Phase, Sandbox};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// A pod from words: `i1` an init container, `s1` a sidecar, anything else a container.
fn pod(policy: &str, names: &str) -> Pod {
    let container = |name: &str| match name.as_bytes()[0] {
        b's' => serde_json::json!({"name": name, "image": "image", "restartPolicy": "Always"}),
        _ => serde_json::json!({"name": name, "image": "image"}),
    };
    let (init, main): (Vec<&str>, Vec<&str>) = names.split(' ').partition(|name| name.starts_with(['i', 's']));
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": init.into_iter().map(container).collect::<Vec<_>>(),
            "containers": main.into_iter().map(container).collect::<Vec<_>>(),
        }
    }))
    .unwrap()
}

/// What is seen, from words: `a=run`, `a=0@5` (ended with 0 at second 5), `a=made`; the newest first.
fn observed(pod: &Pod, words: &str) -> Observed {
    let sandbox = Sandbox { id: "box".into(), ready: true, ips: vec!["10.0.0.2".into()], ..Sandbox::default() };
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let count =
        |name: &str, from: usize| words[from..].iter().filter(|word| word.split('=').next() == Some(name)).count();
    let run = |(index, word): (usize, &&str)| {
        let (name, state) = word.split_once('=').unwrap();
        let restart_count = count(name, index + 1) as i32;
        let (phase, exit_code, finished) = match state {
            "run" => (Phase::Running, 0, None),
            "made" => (Phase::Created, 0, None),
            ended => {
                let (code, second) = ended.split_once('@').unwrap();
                (Phase::Exited, code.parse().unwrap(), Some(at(second.parse().unwrap())))
            }
        };
        let hash = spec::container(pod, name).map(|(_, container)| labels::hash(container)).unwrap_or_default();
        Instance {
            id: format!("{name}-{restart_count}"),
            name: name.into(),
            sandbox: "box".into(),
            phase,
            restart_count,
            exit_code,
            finished,
            hash,
            ..Instance::default()
        }
    };
    Observed { sandboxes: vec![sandbox], instances: words.iter().enumerate().map(run).collect() }
}

fn text(actions: &[Action]) -> String {
    let mut text = String::new();
    for action in actions {
        match action {
            Action::CreateSandbox { attempt } => write!(text, "sandbox {attempt}; "),
            Action::Start { name, restart_count, .. } => write!(text, "start {name} {restart_count}; "),
            Action::BackOff { name, delay, .. } => write!(text, "back off {name} {}s; ", delay.as_secs()),
            Action::Stop { message, grace_seconds, .. } => write!(text, "stop ({message}) {grace_seconds}s; "),
            Action::StopSandbox { id } => write!(text, "stop sandbox {id}; "),
            Action::RemoveContainer { id } => write!(text, "forget {id}; "),
            Action::RemoveSandbox { id } => write!(text, "forget sandbox {id}; "),
            Action::Wait { until } => write!(text, "wait {}; ", until.duration_since(at(0)).as_secs()),
            Action::Finish => write!(text, "finish; "),
        }
        .unwrap();
    }
    text.trim_end_matches("; ").to_owned()
}

fn steps(cases: &[(&str, &str, &str)], expected: &Expect) {
    let mut table = String::new();
    for (policy, names, seen) in cases {
        let pod = pod(policy, names);
        let observed = observed(&pod, seen);
        let view = View { observed: &observed, memory: &Memory::default(), now: at(100) };
        writeln!(table, "{policy} [{names}] {seen} → {}", text(&plan(&pod, &view))).unwrap();
    }
    expected.assert_eq(&table);
}

#[test]
fn without_a_sandbox_one_is_made() {
    let pod = pod("Always", "a");
    let memory = Memory::default();
    let mut observed = Observed::default();
    let now = at(100);
    assert_eq!(text(&plan(&pod, &View { observed: &observed, memory: &memory, now })), "sandbox 0");
    observed.sandboxes.push(Sandbox { id: "old".into(), attempt: 3, ..Sandbox::default() });
    assert_eq!(text(&plan(&pod, &View { observed: &observed, memory: &memory, now })), "sandbox 4");
}

#[test]
fn an_ended_pod_whose_containers_are_forgotten_stays_ended() {
    let mut pod = pod("Always", "a");
    pod.status = Some(serde_json::from_value(serde_json::json!({"phase": "Succeeded"})).unwrap());
    let view = View { observed: &Observed::default(), memory: &Memory::default(), now: at(100) };
    assert_eq!(text(&plan(&pod, &view)), "finish");
}

#[test]
fn containers_start_after_init_containers_and_restart_by_policy() {
    steps(
        &[
            ("Always", "a b", ""),
            ("Always", "a b", "b=run a=run"),
            ("Always", "a b", "b=run a=0@90"),
            ("OnFailure", "a b", "b=run a=0@90"),
            ("OnFailure", "a b", "b=run a=1@90"),
            ("Never", "a b", "b=run a=1@90"),
            ("Never", "a b", "b=0@91 a=1@90"),
            ("OnFailure", "a", "a=0@90"),
            ("Always", "a", "a=made"),
            ("Always", "a", "a=run a=1@3 a=1@2 a=1@1"),
            ("Always", "i1 i2 a", ""),
            ("Always", "i1 i2 a", "i1=run"),
            ("Always", "i1 i2 a", "i1=0@1"),
            ("Always", "i1 i2 a", "i1=1@1"),
            ("Never", "i1 i2 a", "i1=1@1"),
            ("Always", "i1 i2 a", "i2=0@2 i1=0@1"),
            ("Always", "s1 i2 a", ""),
            ("Always", "s1 i2 a", "s1=run"),
            ("Always", "s1 i2 a", "i2=0@2 s1=run"),
            ("Always", "s1 a", "a=run s1=1@50"),
            ("Never", "s1 a", "a=0@60 s1=run"),
        ],
        &expect![[r#"
            Always [a b]  → start a 0; start b 0
            Always [a b] b=run a=run → 
            Always [a b] b=run a=0@90 → start a 1
            OnFailure [a b] b=run a=0@90 → 
            OnFailure [a b] b=run a=1@90 → start a 1
            Never [a b] b=run a=1@90 → 
            Never [a b] b=0@91 a=1@90 → stop sandbox box
            OnFailure [a] a=0@90 → stop sandbox box
            Always [a] a=made → forget a-0; start a 0
            Always [a] a=run a=1@3 a=1@2 a=1@1 → forget a-1; forget a-0
            Always [i1 i2 a]  → start i1 0
            Always [i1 i2 a] i1=run → 
            Always [i1 i2 a] i1=0@1 → start i2 0
            Always [i1 i2 a] i1=1@1 → start i1 1
            Never [i1 i2 a] i1=1@1 → stop sandbox box
            Always [i1 i2 a] i2=0@2 i1=0@1 → start a 0
            Always [s1 i2 a]  → start s1 0
            Always [s1 i2 a] s1=run → start i2 0
            Always [s1 i2 a] i2=0@2 s1=run → start a 0
            Always [s1 a] a=run s1=1@50 → start s1 1
            Never [s1 a] a=0@60 s1=run → stop (Stopping container s1) 2s
        "#]],
    );
}

#[test]
fn a_pod_goes_containers_first_then_sidecars_backwards_then_the_sandbox() {
    let pod = pod("Always", "s1 s2 a b");
    let termination = Some(Termination { since: at(90), grace_seconds: 30 });
    let memory = Memory { termination, ..Memory::default() };
    let mut table = String::new();
    for seen in ["b=run a=run s2=run s1=run", "b=0@95 a=0@95 s2=run s1=run", "a=0@9 s2=0@99 s1=run", "a=0@9 s1=0@99"] {
        let observed = observed(&pod, seen);
        let actions = plan(&pod, &View { observed: &observed, memory: &memory, now: at(100) });
        writeln!(table, "{seen} → {}", text(&actions)).unwrap();
    }
    expect![[r#"
        b=run a=run s2=run s1=run → stop (Stopping container b) 20s; stop (Stopping container a) 20s
        b=0@95 a=0@95 s2=run s1=run → stop (Stopping container s2) 20s
        a=0@9 s2=0@99 s1=run → stop (Stopping container s1) 20s
        a=0@9 s1=0@99 → stop sandbox box
    "#]]
    .assert_eq(&table);
}

#[test]
fn crashes_back_off_and_failed_starts_wait() {
    let pod = pod("Always", "a");
    let seen = observed(&pod, "a=1@95 a=1@90");
    let mut memory = Memory::default();
    memory.crashes.count(crash_key(&pod.spec.as_ref().unwrap().containers[0]), at(90), at(90));
    let view = View { observed: &seen, memory: &memory, now: at(100) };
    assert_eq!(text(&plan(&pod, &view)), "back off a 10s");
    let view = View { now: at(105), ..view };
    assert_eq!(text(&plan(&pod, &view)), "start a 2");

    let waiting = Waiting { reason: "ErrImagePull".into(), message: String::new(), retry: at(110) };
    memory.waiting.insert("a".into(), waiting);
    let none = observed(&pod, "");
    let view = View { observed: &none, memory: &memory, now: at(105) };
    assert_eq!(text(&plan(&pod, &view)), "wait 110");
}

#[test]
fn a_changed_image_and_failed_probes_stop_the_container() {
    let pod = pod("Always", "a");
    let mut seen = observed(&pod, "a=run");
    let mut memory = Memory::default();
    memory.probes.insert("a-0".into(), Probed { liveness: Some(false), ..Probed::default() });
    let actions = plan(&pod, &View { observed: &seen, memory: &memory, now: at(100) });
    assert_eq!(text(&actions), "stop (Container a failed liveness probe, will be restarted) 30s");
    seen.instances[0].hash = "other".into();
    let actions = plan(&pod, &View { observed: &seen, memory: &memory, now: at(100) });
    assert_eq!(text(&actions), "stop (Container a definition changed, will be restarted) 30s");
}
