//! What a plan asks for.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use machinery::Value;

use crate::{ApiError, Kind, Object, Occurrence, Patch, Resource};

/// Decides what follows from the outcome of an action: the object that the server answered with, or its error.
pub type Next = Box<dyn FnOnce(Result<&Value, &ApiError>) -> Vec<Action> + Send>;

/// One step of a plan. The steps of a plan are taken in order until one fails.
pub enum Action {
    /// One request that writes.
    Write(Box<Write>),
    /// Steps that do not depend on each other: 1, then 2, 4, 8, … at once, and no more after one failed.
    Batch(Vec<Action>),
    /// A step, and the steps that its outcome asks for. A failed step stays failed whatever follows.
    Then(Box<Action>, Next),
    /// Records an event.
    Event(Box<Occurrence>),
    /// Plans again after this time.
    Requeue(Duration),
    /// Ends the plan as failed, so that it is tried again with back-off.
    Fail(String),
}

/// A request that writes.
#[derive(Debug, Clone)]
pub struct Write {
    /// The resource.
    pub resource: Resource,
    /// The object's namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// The object's name; empty to create.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: &'static str,
    /// What to write.
    pub change: WriteKind,
}

/// How a request writes.
#[derive(Debug, Clone)]
pub enum WriteKind {
    /// POST
    Create(Value),
    /// PUT
    Update(Value),
    /// PATCH
    Patch(Patch),
    /// DELETE; an object that is gone already counts as deleted.
    Delete(Box<DeleteOptions>, String),
}

impl Action {
    /// Makes `object`.
    #[must_use]
    pub fn create<K: Kind>(object: &K) -> Self {
        Self::write::<K>(object.namespace(), "", "", WriteKind::Create(tree(object)))
    }

    /// Replaces `object`.
    #[must_use]
    pub fn update<K: Kind>(object: &K) -> Self {
        Self::write::<K>(object.namespace(), object.name(), "", WriteKind::Update(tree(object)))
    }

    /// Replaces the status of `object`.
    #[must_use]
    pub fn update_status<K: Kind>(object: &K) -> Self {
        Self::write::<K>(object.namespace(), object.name(), "status", WriteKind::Update(tree(object)))
    }

    /// Changes `object` (or its `subresource`) in place.
    #[must_use]
    pub fn patch<K: Kind>(object: &K, subresource: &'static str, patch: Patch) -> Self {
        Self::write::<K>(object.namespace(), object.name(), subresource, WriteKind::Patch(patch))
    }

    /// Deletes exactly `object`: one of the same name that was made since stays.
    #[must_use]
    pub fn delete<K: Kind>(object: &K) -> Self {
        Self::delete_with(object, DeleteOptions::default())
    }

    /// Deletes exactly `object`, with `options`.
    #[must_use]
    pub fn delete_with<K: Kind>(object: &K, mut options: DeleteOptions) -> Self {
        let uid = object.uid().to_owned();
        options.preconditions.get_or_insert_with(Preconditions::default).uid = Some(uid.clone());
        Self::write::<K>(object.namespace(), object.name(), "", WriteKind::Delete(Box::new(options), uid))
    }

    /// Records an event about `regarding`.
    #[must_use]
    pub fn event(
        regarding: ObjectReference,
        event_type: &'static str,
        reason: &str,
        message: impl Into<String>,
    ) -> Self {
        let (reason, message) = (reason.to_owned(), message.into());
        Self::Event(Box::new(Occurrence { regarding, event_type, reason, message, ..Occurrence::default() }))
    }

    /// Makes a subresource of `object`.
    #[must_use]
    pub fn create_subresource<K: Kind, S: Object>(object: &K, subresource: &'static str, content: &S) -> Self {
        Self::write::<K>(object.namespace(), object.name(), subresource, WriteKind::Create(tree(content)))
    }

    /// This step, and then what its outcome asks for.
    #[must_use]
    pub fn then(self, next: impl FnOnce(Result<&Value, &ApiError>) -> Vec<Self> + Send + 'static) -> Self {
        Self::Then(Box::new(self), Box::new(next))
    }

    fn write<K: Kind>(namespace: &str, name: &str, subresource: &'static str, change: WriteKind) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self::Write(Box::new(Write { resource: Resource::of::<K>(), namespace, name, subresource, change }))
    }
}

fn tree<K: Object>(object: &K) -> Value {
    machinery::to_value(object)
}

impl fmt::Display for Action {
    /// One line an action: what tests of plans compare.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(write) => write.fmt(f),
            Self::Batch(actions) => {
                let lines: Vec<String> = actions.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Then(action, _) => write!(f, "{action} …"),
            Self::Event(event) => write!(f, "event {} {}: {}", event.event_type, event.reason, event.message),
            Self::Requeue(after) => write!(f, "requeue after {after:?}"),
            Self::Fail(why) => write!(f, "fail: {why}"),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, body) = match &self.change {
            WriteKind::Create(object) => ("create", text(object)),
            WriteKind::Update(object) if self.subresource == "status" => {
                ("update", object.get("status").map(text).unwrap_or_default())
            }
            WriteKind::Update(object) => ("update", text(object)),
            WriteKind::Patch(patch) => ("patch", text(patch.body())),
            WriteKind::Delete(options, _) => {
                let grace = options.grace_period_seconds.map(|seconds| format!("grace {seconds}"));
                let policy = options.propagation_policy.clone();
                ("delete", [grace, policy].into_iter().flatten().collect::<Vec<_>>().join(" "))
            }
        };
        let subresource = if self.subresource.is_empty() { "" } else { "/" };
        let name = crate::key(&self.namespace, &self.name);
        let line = format!("{verb} {}{subresource}{} {name} {body}", self.resource.kind, self.subresource);
        f.write_str(line.trim_end())
    }
}

fn text(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    serde_json::to_string(&value).unwrap_or_default()
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
