//! Stops a container: its preStop hook, then SIGTERM, then SIGKILL, all within one grace period.

use std::time::Duration;

use super::{Step, report};
use crate::pod::spec;

/// What SIGTERM gets when the hook has used up the grace period.
const LEAST_GRACE: Duration = Duration::from_secs(2);

impl Step {
    pub(super) async fn stop(&self, id: &str, name: &str, message: &str, grace_seconds: i64) -> bool {
        let clock = self.node.clock();
        let container = spec::container(&self.pod, name).map(|(_, container)| container);
        // A container that is stopped again, with less time, has had its event and its hook.
        let first = self.memory.lock().stopping.insert(id.to_owned());
        let mut grace = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
        if let (Some(container), true) = (container, first) {
            self.node.event(&self.pod, container, "Normal", "Killing", message);
            if let Some(hook) = spec::pre_stop(container).filter(|_| !grace.is_zero()) {
                let begun = clock.instant();
                if clock.timeout(grace, self.pre_stop(container, hook, id)).await.is_err() {
                    tracing::info!(pod = spec::full_name(&self.pod), name, "the preStop hook did not end in time");
                }
                let used = clock.instant().duration_since(begun);
                grace = grace.saturating_sub(used).max(LEAST_GRACE.min(grace));
            }
        }
        report("stop a container", self.node.runtime.stop_container(id, grace).await)
    }
}
