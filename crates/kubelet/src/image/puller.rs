//! Makes sure that a container's image is there: pull policy, one pull at a time, back-off, upstream's events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use parking_lot::Mutex;

use super::{credentials, name};
use crate::node::Node;
use crate::pod::memory::Waiting;
use crate::pod::spec;
use crate::proto::cri::{Image, PodSandboxConfig};

/// The waits between pulls that fail.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LIMIT: SignedDuration = SignedDuration::from_mins(5);

/// Pulls images, one at a time (upstream's `serializeImagePulls`).
pub(crate) struct Puller {
    turn: tokio::sync::Semaphore,
    failures: Mutex<HashMap<(String, String), Failure>>,
}

struct Failure {
    delay: SignedDuration,
    since: Timestamp,
    message: String,
}

impl Puller {
    pub(crate) fn new() -> Self {
        Self { turn: tokio::sync::Semaphore::new(1), failures: Mutex::default() }
    }

    /// The image of `container`, pulled if its policy says so.
    pub(crate) async fn ensure(
        &self,
        node: &Node,
        pod: &Pod,
        container: &Container,
        secrets: &BTreeMap<String, Arc<Secret>>,
        sandbox: PodSandboxConfig,
    ) -> Result<Image, Waiting> {
        let wanted = container.image.as_deref().unwrap_or_default();
        let now = node.clock().now();
        let fail = |reason: &str, message: String, wait: SignedDuration| Waiting {
            reason: reason.to_owned(),
            message,
            retry: now + wait,
        };
        if let Err(message) = name::parse(wanted) {
            node.event(pod, container, "Warning", "InspectFailed", message.clone());
            return Err(fail("InvalidImageName", message, LIMIT));
        }
        let present = node.runtime.image_status(wanted).await.map_err(|error| {
            let message = format!("Failed to inspect image \"{wanted}\": {error}");
            node.event(pod, container, "Warning", "InspectFailed", message.clone());
            fail("ImageInspectError", message, FIRST)
        })?;
        match (policy(container), present) {
            ("Never", None) => {
                let message = format!("Container image \"{wanted}\" is not present with pull policy of Never");
                node.event(pod, container, "Warning", "ErrImageNeverPull", message.clone());
                Err(fail("ErrImageNeverPull", message, FIRST))
            }
            ("Never" | "IfNotPresent", Some(image)) => {
                let message =
                    format!("Container image \"{wanted}\" already present on machine and can be accessed by the pod");
                node.event(pod, container, "Normal", "Pulled", message);
                Ok(image)
            }
            _ => self.pull(node, pod, container, wanted, secrets, sandbox).await,
        }
    }

    async fn pull(
        &self,
        node: &Node,
        pod: &Pod,
        container: &Container,
        wanted: &str,
        secrets: &BTreeMap<String, Arc<Secret>>,
        sandbox: PodSandboxConfig,
    ) -> Result<Image, Waiting> {
        let key = (spec::uid(pod).to_owned(), wanted.to_owned());
        let asked = node.clock().now();
        if let Some((message, retry)) = self.resting(&key, asked) {
            let text = format!("Back-off pulling image \"{wanted}\"");
            node.event(pod, container, "Normal", "BackOff", text.clone());
            let reason = "ImagePullBackOff".to_owned();
            return Err(Waiting { reason, message: format!("{text}: {message}"), retry });
        }
        let _turn = self.turn.acquire().await;
        node.event(pod, container, "Normal", "Pulling", format!("Pulling image \"{wanted}\""));
        let begun = node.clock().now();
        let auth = credentials::find(wanted, pull_secrets(pod, secrets));
        let pulled = node.runtime.pull_image(wanted, auth, sandbox).await;
        let ended = node.clock().now();
        let image = match pulled {
            Ok(_) => node.runtime.image_status(wanted).await.ok().flatten(),
            Err(error) => {
                let text = format!("Failed to pull image \"{wanted}\": {error}");
                node.event(pod, container, "Warning", "Failed", text);
                let message = error.to_string();
                self.failed(key, format!("ErrImagePull: {message}"), ended);
                // The next look finds the image resting and shows that.
                return Err(Waiting {
                    reason: "ErrImagePull".to_owned(),
                    message,
                    retry: ended + SignedDuration::from_secs(1),
                });
            }
        };
        self.failures.lock().remove(&key);
        let (took, waited) = (go_millis(begun, ended), go_millis(asked, ended));
        let size = image.as_ref().map_or(0, |image| image.size);
        let text = format!(
            "Successfully pulled image \"{wanted}\" in {took} ({waited} including waiting). Image size: {size} bytes."
        );
        node.event(pod, container, "Normal", "Pulled", text);
        image.ok_or_else(|| Waiting {
            reason: "ImageInspectError".to_owned(),
            message: format!("Failed to inspect image \"{wanted}\": it is gone after the pull"),
            retry: ended + FIRST,
        })
    }

    fn resting(&self, key: &(String, String), now: Timestamp) -> Option<(String, Timestamp)> {
        let failures = self.failures.lock();
        let failure = failures.get(key)?;
        let until = failure.since + failure.delay;
        (now < until).then(|| (failure.message.clone(), until))
    }

    fn failed(&self, key: (String, String), message: String, now: Timestamp) {
        let mut failures = self.failures.lock();
        failures.retain(|_, failure| now.duration_since(failure.since) <= LIMIT + LIMIT);
        let delay = failures.get(&key).map_or(FIRST, |failure| (failure.delay + failure.delay).min(LIMIT));
        failures.insert(key, Failure { delay, since: now, message });
    }
}

fn policy(container: &Container) -> &str {
    let image = container.image.as_deref().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or(image);
    let latest = !image.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    container.image_pull_policy.as_deref().unwrap_or(if latest { "Always" } else { "IfNotPresent" })
}

fn pull_secrets<'a>(pod: &'a Pod, secrets: &'a BTreeMap<String, Arc<Secret>>) -> impl Iterator<Item = &'a Secret> {
    let names = spec::spec(pod).image_pull_secrets.iter().flatten();
    names.filter_map(|reference| secrets.get(&reference.name).map(Arc::as_ref))
}

/// A duration as Go prints it when cut to milliseconds: `45ms`, `1.204s`.
fn go_millis(from: Timestamp, to: Timestamp) -> String {
    let duration = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    let millis = duration.as_millis();
    if millis < 1000 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}
