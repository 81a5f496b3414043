//! `pods/binding`, and `bindings` with the pod's name in the body: the scheduler says on which node a pod runs.

use std::sync::Arc;

use http::StatusCode;
use kinds::Kind;
use machinery::field::{Error, Errors, Path, aggregate};
use machinery::status::In;
use machinery::{Status, Value, meta, value};

use crate::access::{self, Write};
use crate::admission::Operation;
use crate::call::{self, Call};
use crate::codec::{self, Expected};
use crate::objects::Objects;
use crate::options::WriteOptions;
use crate::reply::{self, Body, Reply};
use crate::server::Server;
use crate::write;

const BINDING: Expected<'static> = Expected { group: "", version: "v1", kind: "Binding" };
/// The resource that is older than `pods/binding`.
pub const RESOURCE: &str = "bindings";
const SCHEMA: &str = "io.k8s.api.core.v1.Binding";

/// Binds the pod of the path, or of the body.
///
/// # Errors
/// 404 when there is no such pod, 409 when it is bound already or goes.
pub async fn create(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let accepted = call.accepts_plain()?;
    let bytes = call::read(body).await?;
    let options = WriteOptions::create(&call.query)?;
    let message = machinery::schema::message(SCHEMA);
    let mut binding = codec::typed(call, BINDING, message, &bytes, options.field_validation)?;
    write::fit_namespace(call, kind, &mut binding)?;
    if !call.info.subresource.is_empty() && meta::name(&binding) != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let write =
        Write { operation: Operation::Create, kind, body_kind: BINDING.kind, old: None, dry_run: options.dry_run };
    access::admit(server, call, &write, &mut binding).await?;
    let errors = check(&binding);
    if !errors.is_empty() {
        return Err(Status::unknown(aggregate(&errors)));
    }
    access::validate(server, call, &write, &mut binding).await?;
    if meta::name(&binding).is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    let pods = kinds::lookup("", "v1", "pods").ok_or_else(Status::no_such_resource)?;
    bind(server, pods, &call.info.namespace, meta::name(&binding), &binding, options.dry_run).await?;
    let done = Status { code: StatusCode::CREATED.as_u16(), ..Status::success(None) };
    Ok(reply::object(StatusCode::CREATED, &done.to_value(), accepted))
}

fn check(binding: &Value) -> Errors {
    let (mut errors, target) = (Errors::new(), Path::new("target"));
    let kind = binding.str_at(&["target", "kind"]).unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        errors.push(Error::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    if binding.str_at(&["target", "name"]).unwrap_or_default().is_empty() {
        errors.push(Error::required(&target.child("name"), ""));
    }
    errors
}

async fn bind(
    server: &Server,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    binding: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    let objects = Objects::new(server, kind);
    loop {
        let stored = objects.get(namespace, name).await?;
        check_preconditions(&objects, namespace, binding, &stored.object)?;
        let now = meta::seconds(server.clock.now());
        let bound = bound(&stored.object, binding, &now);
        let mut pod = bound.map_err(|why| Status::conflict(In { group: "", name: "pods/binding" }, name, why))?;
        codec::settle(kind, &mut pod);
        if objects.replace(&stored, pod, dry_run).await?.is_ok() {
            return Ok(());
        }
    }
}

/// The pod must be the one that the binding is about.
fn check_preconditions(objects: &Objects<'_>, namespace: &str, binding: &Value, pod: &Value) -> Result<(), Status> {
    for (field, shown) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let text = |object: &Value| object.str_at(&["metadata", field]).unwrap_or_default().to_owned();
        let (asked, present) = (text(binding), text(pod));
        if !asked.is_empty() && asked != present {
            let key = objects.key(namespace, meta::name(pod));
            return Err(write::other(objects.kind.group_resource(), &key, pod, (shown, &asked, &present)));
        }
    }
    Ok(())
}

/// The pod on its node, or why it cannot go there.
fn bound(pod: &Value, binding: &Value, now: &str) -> Result<Value, String> {
    let name = meta::name(pod);
    if meta::is_deleting(pod) {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {}", machinery::field::quote(node)));
    }
    if !pod.items_at(&["spec", "schedulingGates"]).is_empty() {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut pod = pod.clone();
    pod.set_at(&["spec", "nodeName"], binding.str_at(&["target", "name"]).unwrap_or_default());
    for field in ["annotations", "labels"] {
        let added = binding.at(&["metadata", field]).and_then(Value::as_object);
        for (name, value) in added.into_iter().flat_map(machinery::Object::iter) {
            pod.set_at(&["metadata", field, name], value.clone());
        }
    }
    let condition = value!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": now,
    });
    set_condition(&mut pod, condition);
    Ok(pod)
}

/// Puts a condition in place of the one of its type.
pub fn set_condition(object: &mut Value, condition: Value) {
    let kind = condition.str_at(&["type"]).unwrap_or_default().to_owned();
    let mut conditions = object.items_at(&["status", "conditions"]).to_vec();
    match conditions.iter_mut().find(|one| one.str_at(&["type"]) == Some(&kind)) {
        Some(old) if old.get("status") == condition.get("status") => {
            let since = old.get("lastTransitionTime").cloned();
            *old = condition;
            if let Some(since) = since {
                old.set_at(&["lastTransitionTime"], since);
            }
        }
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
    object.set_at(&["status", "conditions"], conditions);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_once() {
        let pod = value!({"metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Pending"}});
        let binding = value!({"metadata": {"name": "p", "annotations": {"a": "b"}}, "target": {"name": "n1"}});
        let bound_pod = bound(&pod, &binding, "2026-01-01T00:00:00Z").unwrap();
        expect_test::expect![[r#"{"metadata":{"name":"p","annotations":{"a":"b"}},"spec":{"nodeName":"n1"},"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#]]
        .assert_eq(&machinery::json::to_string(&bound_pod));
        assert_eq!(bound(&bound_pod, &binding, "").unwrap_err(), "pod p is already assigned to node \"n1\"");
    }
}
