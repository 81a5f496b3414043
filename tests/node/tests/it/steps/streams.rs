//! Commands, terminals and connections into pods, over WebSocket and over SPDY.

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::{DRILL, text};
use crate::program::Line;
use crate::{http, manifests, wait};

/// How kubectl is told which protocol to speak for commands, and for ports.
const PROTOCOLS: [&str; 2] = ["true", "false"];

/// A pod to run commands in.
fn host(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::long_pod("host", "trap 'exit 0' TERM; while true; do sleep 1; done"))?;
    cluster.ready_pod("host").map(drop)
}

/// Both outputs apart, the exit code, and what goes in.
pub fn exec(cluster: &Cluster) -> Result<()> {
    host(cluster)?;
    for protocol in PROTOCOLS {
        let run = |words: &str, script: &str| {
            let line = cluster.kubectl(&format!("-n {DRILL} exec {words} host -- sh -c")).arg(script);
            line.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", protocol)
        };
        let ended = run("", "echo out; echo err >&2; exit 7").code(7)?;
        ensure!(ended.stdout == "out\n", "stdout is {:?}", ended.stdout);
        ensure!(ended.stderr == "err\ncommand terminated with exit code 7\n", "stderr is {:?}", ended.stderr);
        let text = "a line that goes in\n".repeat(5000);
        let counted = run("-i", "wc -c").input(text.as_str()).ok()?;
        ensure!(counted.trim() == text.len().to_string(), "{counted} of {} bytes arrived", text.len());
        let all = run("", "seq 1 20000").ok()?;
        ensure!(all.lines().count() == 20000, "{} lines came back", all.lines().count());
    }
    let ended = cluster.kubectl(&format!("-n {DRILL} exec host -c nobody -- true")).code(1)?;
    let expected = "container nobody is not valid for pod host";
    ensure!(ended.stderr.contains(expected), "{}", ended.stderr);
    Ok(())
}

/// A terminal of the size of the user's.
pub fn terminal(cluster: &Cluster) -> Result<()> {
    host(cluster)?;
    for protocol in PROTOCOLS {
        let kubectl = cluster.machine.kubectl.display();
        let inner =
            format!("stty rows 33 cols 77; {kubectl} -n {DRILL} exec -it host -- sh -c 'tty; sleep 1; stty size'");
        let line = cluster.settings(Line::new("script")).words("-qec").arg(&inner).arg("/dev/null");
        let said = line.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", protocol).ok()?;
        ensure!(said.contains("/dev/pts/") && said.contains("33 77\r\n"), "the terminal says {said:?}");
    }
    Ok(())
}

/// What is typed reaches the process that runs, and its answer comes back.
pub fn attach(cluster: &Cluster) -> Result<()> {
    for protocol in PROTOCOLS {
        let words = format!("-n {DRILL} run echo --image=busybox:1.35 --restart=Never --rm -i -q -- sh -c");
        let line = cluster.kubectl(&words).arg("read line; echo heard $line").input("ready all\n");
        let said = line.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", protocol).ok()?;
        ensure!(said.contains("heard ready all\n"), "the process says {said:?}");
    }
    Ok(())
}

/// A port of this machine leads to a port in the pod, for a pod and through a service.
pub fn port_forward(cluster: &Cluster) -> Result<()> {
    let pods = cluster.ready_pods("regatta", "app=web", 2)?;
    let pod = format!("pod/{}", text(&pods[0], "/metadata/name"));
    for protocol in PROTOCOLS {
        for target in [pod.as_str(), "service/web"] {
            let words = format!("-n regatta port-forward --address 127.0.0.1 {target} :80");
            let line = cluster.kubectl_beside(&words).env("KUBECTL_PORT_FORWARD_WEBSOCKETS", protocol);
            let forward = line.start()?;
            forward.prints(&["Forwarding from 127.0.0.1:", " -> 80"])?;
            let printed = forward.printed();
            let address = printed.split_whitespace().nth(2).context("no address")?.to_owned();
            // Several connections, one after another, go over the one forwarding.
            for _ in 0..3 {
                wait::until("the page answers", || {
                    let (code, page) = http::ask(&address, "GET", "/", "")?;
                    ensure!(code == 200 && page.contains("Regatta on Coxswain"), "{code} {page}");
                    Ok(())
                })?;
            }
        }
    }
    Ok(())
}
