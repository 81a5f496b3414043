//! The steps of the test, in the order in which a user would take them.

mod application;
mod clients;
mod crash;
mod describe;
mod edit;
mod farewell;
mod files;
mod heal;
mod logs;
mod nodes;
mod rollout;
mod runtime;
mod scale;
mod streams;
mod watch;

use anyhow::Result;

use crate::cluster::Cluster;

/// One thing that a user does and what must come of it.
pub struct Step {
    /// What happens, as a sentence.
    pub name: &'static str,
    /// Whether later steps stand on it.
    pub sets_the_scene: bool,
    /// Does it.
    pub run: fn(&Cluster) -> Result<()>,
}

const fn scene(name: &'static str, run: fn(&Cluster) -> Result<()>) -> Step {
    Step { name, sets_the_scene: true, run }
}

const fn step(name: &'static str, run: fn(&Cluster) -> Result<()>) -> Step {
    Step { name, sets_the_scene: false, run }
}

/// Every step, first to last: the last ones crash the server and take the example away.
pub const ALL: &[Step] = &[
    scene("the node is shown as ready", nodes::shown),
    step("an untrue word about the node is put right, a deleted node comes back", nodes::put_right),
    scene("the example is applied and rolls out", application::deployed),
    step("the example answers on its node port", application::node_port),
    step("the example answers in pods on its cluster IP and DNS name", application::from_a_pod),
    step("get shows nodes, pods, services and deployments", nodes::everything),
    step("describe shows a pod's events", describe::pod_events),
    step("explain shows the fields of a container", describe::explain),
    step("scale goes up and down", scale::up_and_down),
    step("set image rolls out and rollout undo goes back", rollout::image_and_undo),
    step("diff shows what apply would change", edit::diff),
    step("edit changes what the editor changed", edit::editor),
    step("wait ends when a pod is ready and when it is gone", watch::wait_for),
    step("get -w shows a pod come and go", watch::come_and_go),
    step("a deleted pod is replaced", heal::deleted_pod),
    step("a killed container is restarted", heal::killed_container),
    step("logs shows lines, the last ones, and those of the run before", logs::shown),
    step("logs -f follows until the pod ends", logs::followed),
    step("exec gives output, exit code and input", streams::exec),
    step("exec -t gives a terminal", streams::terminal),
    step("attach reaches a running process", streams::attach),
    step("port-forward reaches a pod and a service", streams::port_forward),
    step("cp copies to a pod and back", files::copied),
    step("helm installs, upgrades, rolls back and uninstalls a chart", clients::helm),
    step("the Python client writes, watches and runs a command", clients::python),
    step("the JavaScript client's informer follows", clients::javascript),
    step("a runtime that hangs makes the node not ready until it goes on", runtime::hangs),
    step("a runtime that dies is started again, and no container restarts", runtime::dies),
    step("kill -9 of the server under load loses nothing and restarts no container", crash::under_load),
    step("delete namespace takes everything in it away", farewell::namespace_gone),
];
