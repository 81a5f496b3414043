//! The real kubectl, as a user types it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::program::Line;
use crate::wait;

/// The namespace of the tests' own objects.
pub const DRILL: &str = "drill";

impl Cluster {
    /// `kubectl` with the words of `text`, ready to run to its end.
    pub fn kubectl(&self, text: &str) -> Line {
        self.settings(Line::new(&self.machine.kubectl)).words(text)
    }

    /// `kubectl` with the words of `text`, to run beside the test.
    pub fn kubectl_beside(&self, text: &str) -> Line {
        self.settings(Line::endless(&self.machine.kubectl)).words(text)
    }

    /// The environment of a user of this cluster.
    pub fn settings(&self, line: Line) -> Line {
        line.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.home())
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.kubectl("apply -f -").input(manifest).ok()
    }

    /// What `kubectl get WORDS -o json` gives.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn json(&self, words: &str) -> Result<Value> {
        let text = self.kubectl("get -o json").words(words).ok()?;
        serde_json::from_str(&text).with_context(|| format!("reading {words}"))
    }

    /// The objects of a list.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn items(&self, words: &str) -> Result<Vec<Value>> {
        let mut list = self.json(words)?;
        list["items"].as_array_mut().map(std::mem::take).context("not a list")
    }

    /// Waits until exactly `count` pods with the label `selector` are there and ready; gives them.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn ready_pods(&self, namespace: &str, selector: &str, count: usize) -> Result<Vec<Value>> {
        wait::until(&format!("{count} ready pods of {selector}"), || {
            let all = self.items(&format!("pods -n {namespace} -l {selector}"))?;
            let ready = all.iter().filter(|pod| is_ready(pod)).count();
            ensure!(all.len() == count && ready == count, "{ready} of {} are ready", all.len());
            Ok(all)
        })
    }

    /// Waits until the pod `name` of the tests' namespace is ready; gives it.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn ready_pod(&self, name: &str) -> Result<Value> {
        wait::until(&format!("pod {name} is ready"), || {
            let pod = self.json(&format!("pod -n {DRILL} {name}"))?;
            ensure!(is_ready(&pod), "its status: {}", pod["status"]);
            Ok(pod)
        })
    }
}

/// Whether a pod says that it is ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// A text of an object, such as `/metadata/name`; empty if it is not there.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
