//! Tells people of what was found, once for each thing.

use std::collections::HashSet;
use std::net::IpAddr;

use http::Method;
use machinery::{Value, meta, value};

use crate::ApiServer;
use crate::loopback::ask;

/// So many things are remembered; then all are told anew.
const REMEMBERED: usize = 4096;

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum About {
    /// A service, by namespace/name.
    Service(String),
    /// An IPAddress.
    Address(IpAddr),
}

/// An event of type Warning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// What it is about.
    pub about: About,
    /// In one word.
    pub reason: &'static str,
    /// What was being done; empty for events of the older form.
    pub action: &'static str,
    /// In a sentence.
    pub note: String,
}

/// Remembers what has been told.
#[derive(Debug, Default)]
pub struct Events(HashSet<Event>);

impl Events {
    /// Records an event, unless it was recorded before. That it cannot be recorded is only logged.
    pub async fn tell(&mut self, server: &ApiServer, source: &str, event: &Event) {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        if !self.0.insert(event.clone()) {
            return;
        }
        tracing::warn!(reason = event.reason, "{}", event.note);
        let object = object(server, source, event);
        let place = match event.action {
            "" => format!("/api/v1/namespaces/{}/events", meta::namespace(&object)),
            _ => format!("/apis/events.k8s.io/v1/namespaces/{}/events", meta::namespace(&object)),
        };
        if let Err(status) = ask(server, Method::POST, &place, Some(&object)).await {
            tracing::warn!(error = status.message, reason = event.reason, "an event was not recorded");
        }
    }
}

fn object(server: &ApiServer, source: &str, event: &Event) -> Value {
    let reference = reference(server, &event.about);
    let namespace = match meta_of(&reference, "namespace") {
        "" => "default",
        namespace => namespace,
    };
    let now = server.server.clock.now();
    let name = format!("{}.{:016x}", meta_of(&reference, "name"), now.as_nanosecond());
    let metadata = value!({"name": name, "namespace": namespace});
    if event.action.is_empty() {
        return value!({
            "kind": "Event", "apiVersion": "v1", "metadata": metadata,
            "involvedObject": reference, "reason": (event.reason), "message": (event.note.as_str()), "type": "Warning",
            "source": {"component": source}, "reportingComponent": source,
            "firstTimestamp": (meta::seconds(now)), "lastTimestamp": (meta::seconds(now)), "count": 1
        });
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    value!({
        "kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": metadata,
        "regarding": reference, "reason": (event.reason), "note": (event.note.as_str()), "type": "Warning",
        "action": (event.action), "eventTime": (meta::micros(now)),
        "reportingController": source, "reportingInstance": (format!("{source}-{}", host.trim()))
    })
}

fn meta_of<'a>(reference: &'a Value, field: &str) -> &'a str {
    reference.str_at(&[field]).unwrap_or_default()
}

/// The object as events refer to it.
fn reference(server: &ApiServer, about: &About) -> Value {
    let (group, plural, namespace, name) = match about {
        About::Service(key) => {
            let (namespace, name) = key.split_once('/').unwrap_or(("", key));
            ("", "services", namespace, name.to_owned())
        }
        About::Address(address) => ("networking.k8s.io", "ipaddresses", "", address.to_string()),
    };
    let kind = kinds::lookup(group, "v1", plural).expect("the kind is built in");
    let item = server.server.cacher.of(kind).and_then(|cache| cache.get(namespace, &name));
    let object = item.map(|item| item.value()).unwrap_or_default();
    let mut reference = value!({
        "kind": (kind.kind), "apiVersion": (kind.api_version()), "name": name,
        "uid": (meta::uid(&object)), "resourceVersion": (meta::resource_version(&object))
    });
    if !namespace.is_empty() {
        reference.set_at(&["namespace"], namespace);
    }
    reference
}
