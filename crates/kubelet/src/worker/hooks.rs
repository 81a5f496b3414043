//! postStart and preStop hooks: a command, an HTTP request, or a pause.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use super::Step;
use crate::pod::memory::Waiting;
use crate::pod::spec;
use crate::probe::http;

/// An HTTP hook that does not answer ends after this.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

impl Step {
    pub(super) async fn pre_stop(&self, container: &Container, hook: &LifecycleHandler, id: &str) {
        if let Err(message) = self.run_hook(container, hook, id).await {
            let text = format!("PreStopHook failed: {message}");
            tracing::info!(pod = spec::full_name(&self.pod), container.name, text);
            self.node.event(&self.pod, container, "Warning", "FailedPreStopHook", "PreStopHook failed");
        }
    }

    /// Runs the postStart hook; a container whose hook fails is stopped.
    pub(super) async fn post_start(&self, container: &Container, id: &str) -> Result<(), Waiting> {
        let Some(hook) = spec::post_start(container) else { return Ok(()) };
        let result = self.run_hook(container, hook, id).await;
        self.memory.lock().starting.remove(id);
        let Err(message) = result else { return Ok(()) };
        tracing::info!(pod = spec::full_name(&self.pod), container.name, message, "the postStart hook failed");
        self.node.event(&self.pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed");
        self.stop(id, &container.name, "FailedPostStartHook", spec::grace_seconds(&self.pod)).await;
        let retry = self.node.clock().now();
        Err(Waiting { reason: "PostStartHookError".to_owned(), message: "PostStartHookError".to_owned(), retry })
    }

    async fn run_hook(&self, container: &Container, hook: &LifecycleHandler, id: &str) -> Result<(), String> {
        if let Some(exec) = &hook.exec {
            let command = exec.command.clone().unwrap_or_default();
            let answer =
                self.node.runtime.exec_sync(id, &command, Duration::ZERO).await.map_err(|error| error.to_string())?;
            if answer.exit_code != 0 {
                let output =
                    String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr);
                return Err(format!("command {command:?} exited with {}: {output}", answer.exit_code));
            }
        } else if let Some(action) = &hook.http_get {
            let host = self.addresses().pod.first().cloned().unwrap_or_default();
            let target = http::Target::new(action, container, &host)?;
            http::get(&target, HTTP_TIMEOUT, self.node.clock()).await.map_err(|error| error.to_string())?;
        } else if let Some(pause) = &hook.sleep {
            self.node.clock().sleep(Duration::from_secs(u64::try_from(pause.seconds).unwrap_or(0))).await;
        }
        Ok(())
    }
}
