//! Probes: a task for each probe of each running container, its verdicts in the pod's memory.

mod grpc;
pub(crate) mod http;
pub(crate) mod metrics;
mod tcp;
mod tracker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Tasks};
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use parking_lot::Mutex;

use self::tracker::Tracker;
use crate::node::Node;
use crate::pod::memory::Memory;
use crate::pod::observed::{Instance, Observed, Phase};
use crate::pod::spec::{self, Role};
use crate::worker::Inbox;

/// Upstream's limit of what a probe's output adds to an event.
const OUTPUT_LIMIT: usize = 10 << 10;

/// What a probe decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// One pod's probes.
pub(crate) struct Probes {
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    memory: Arc<Mutex<Memory>>,
    running: HashMap<(String, Kind), CancellationToken>,
    tasks: Tasks,
}

impl Probes {
    pub(crate) fn new(node: Arc<Node>, inbox: Arc<Inbox>, memory: Arc<Mutex<Memory>>) -> Self {
        Self { node, inbox, memory, running: HashMap::new(), tasks: Tasks::new() }
    }

    /// Starts and ends tasks so that exactly the containers that run are probed.
    pub(crate) fn follow(&mut self, pod: &Arc<Pod>, observed: &Observed) {
        let ending = self.memory.lock().termination.is_some();
        let mut wanted = Vec::new();
        for (role, container) in spec::containers(pod).filter(|(role, _)| *role != Role::Init) {
            let Some(run) = observed.latest(&container.name).filter(|run| run.phase == Phase::Running) else {
                continue;
            };
            let probed = self.memory.lock().probes.get(&run.id).copied().unwrap_or_default();
            let started = container.startup_probe.is_none() || probed.startup == Some(true);
            for kind in Kind::ALL {
                let due = match kind {
                    Kind::Startup => !ending && probed.startup.is_none(),
                    Kind::Liveness => !ending && started && probed.liveness != Some(false),
                    // An ending pod still tells whether it serves.
                    Kind::Readiness => started,
                };
                if let Some(probe) = kind.of(container).filter(|_| due) {
                    wanted.push((kind, role, container, probe, run));
                }
            }
        }
        self.running.retain(|(id, kind), cancel| {
            let keep = wanted.iter().any(|(wanted, _, _, _, run)| wanted == kind && run.id == *id);
            if !keep {
                cancel.cancel();
            }
            keep
        });
        for (kind, _, container, probe, run) in wanted {
            self.start(pod, kind, container, probe, run, observed);
        }
    }

    /// Ends all tasks.
    pub(crate) fn stop(&mut self) {
        self.running.drain().for_each(|(_, cancel)| cancel.cancel());
    }

    fn start(
        &mut self,
        pod: &Arc<Pod>,
        kind: Kind,
        container: &Container,
        probe: &Probe,
        run: &Instance,
        observed: &Observed,
    ) {
        let key = (run.id.clone(), kind);
        if self.running.contains_key(&key) {
            return;
        }
        let ip = match observed.sandbox() {
            _ if spec::host_network(pod) => self.node.host_ips.first().cloned(),
            sandbox => sandbox.and_then(|sandbox| sandbox.ips.first().cloned()),
        };
        let task = Task {
            node: self.node.clone(),
            inbox: self.inbox.clone(),
            memory: self.memory.clone(),
            pod: pod.clone(),
            container: container.clone(),
            probe: probe.clone(),
            kind,
            id: run.id.clone(),
            ip: ip.unwrap_or_default(),
        };
        let cancel = self.node.cancel().child_token();
        self.running.insert(key, cancel.clone());
        let since = run.started.map_or(0, |started| self.node.clock().now().duration_since(started).as_secs());
        self.tasks.spawn("probe", async move {
            let _ended = cancel.run_until_cancelled(task.run(since)).await;
        });
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Task {
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    memory: Arc<Mutex<Memory>>,
    pod: Arc<Pod>,
    container: Container,
    probe: Probe,
    kind: Kind,
    id: String,
    ip: String,
}

/// Why a probe did not succeed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The container is not well.
    #[error("{0}")]
    Unhealthy(String),
    /// The probe could not be made.
    #[error("{0}")]
    Errored(String),
}

impl Task {
    async fn run(self, running_for_seconds: i64) {
        let clock = self.node.clock().clone();
        let delay = i64::from(self.probe.initial_delay_seconds.unwrap_or(0)) - running_for_seconds;
        clock.sleep(seconds(delay)).await;
        let mut tracker =
            Tracker::new(self.probe.success_threshold.unwrap_or(1), self.probe.failure_threshold.unwrap_or(3));
        loop {
            let result = self.probe().await;
            metrics::probed(&self.pod, &self.container.name, self.kind.as_str(), &result);
            if let Err(failure) = &result {
                self.tell(failure);
            }
            // A probe that could not be made says nothing about the container.
            let verdict = match &result {
                Err(Failure::Errored(_)) => None,
                other => tracker.count(other.is_ok()),
            };
            if verdict.is_some_and(|verdict| self.decide(verdict)) {
                return;
            }
            clock.sleep(seconds(i64::from(self.probe.period_seconds.unwrap_or(10)).max(1))).await;
        }
    }

    /// Remembers the verdict; `true` when it is final.
    fn decide(&self, verdict: bool) -> bool {
        let mut memory = self.memory.lock();
        let probed = memory.probes.entry(self.id.clone()).or_default();
        let (place, last) = match self.kind {
            Kind::Startup => (&mut probed.startup, true),
            Kind::Liveness => (&mut probed.liveness, !verdict),
            Kind::Readiness => (&mut probed.readiness, false),
        };
        if place.replace(verdict) != Some(verdict) {
            self.inbox.wake();
        }
        last
    }

    fn tell(&self, failure: &Failure) {
        let kind = self.kind.as_str();
        let text = match failure {
            Failure::Unhealthy(output) => format!("{kind} probe failed: {}", cut(output)),
            Failure::Errored(error) => format!("{kind} probe errored and resulted in unknown state: {}", cut(error)),
        };
        self.node.event(&self.pod, &self.container, "Warning", "Unhealthy", text);
    }

    async fn probe(&self) -> Result<(), Failure> {
        let timeout = seconds(i64::from(self.probe.timeout_seconds.unwrap_or(1)).max(1));
        let clock = self.node.clock();
        if let Some(exec) = &self.probe.exec {
            self.exec(exec.command.as_deref().unwrap_or_default(), timeout).await
        } else if let Some(action) = &self.probe.http_get {
            let target = http::Target::new(action, &self.container, &self.ip).map_err(Failure::Errored)?;
            http::get(&target, timeout, clock).await
        } else if let Some(action) = &self.probe.tcp_socket {
            let port = port(&action.port, &self.container).map_err(Failure::Errored)?;
            tcp::connect(action.host.as_deref().unwrap_or(&self.ip), port, timeout, clock).await
        } else if let Some(action) = &self.probe.grpc {
            grpc::check(&self.ip, action.port, action.service.as_deref().unwrap_or_default(), timeout).await
        } else {
            Ok(())
        }
    }

    async fn exec(&self, command: &[String], timeout: Duration) -> Result<(), Failure> {
        match self.node.runtime.exec_sync(&self.id, command, timeout).await {
            Ok(answer) if answer.exit_code == 0 => Ok(()),
            Ok(answer) => {
                let output = [answer.stdout, answer.stderr].concat();
                Err(Failure::Unhealthy(String::from_utf8_lossy(&output).into_owned()))
            }
            Err(error) if error.is_timeout() => {
                let text =
                    format!("command timed out: \"{}\" timed out after {}s", command.join(" "), timeout.as_secs());
                Err(Failure::Unhealthy(text))
            }
            Err(error) => Err(Failure::Errored(error.to_string())),
        }
    }
}

/// The number of a port that may be named.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => {
                let named = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
                named.ok_or_else(|| format!("couldn't find port: {name}"))?.container_port
            }
        },
    };
    u16::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(OUTPUT_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
