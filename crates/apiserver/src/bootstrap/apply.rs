//! Makes what a cluster has before anybody asks for it, through the server's own front door.

use http::{Method, StatusCode};
use jiff::Timestamp;
use kinds::Kind;
use machinery::{Status, Value, meta, value};

use super::{Action, Settings, masters, objects, plan};
use crate::ApiServer;
use crate::loopback::ask;

/// The field manager of flow schemas and priority levels.
const FLOW_CONTROL_MANAGER: &str = "api-priority-and-fairness-config-producer-v1";
/// The field manager of what flow schemas are told.
const FLOW_CONTROL_CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
/// The field manager of what the default service range is told.
const SERVICE_RANGE_MANAGER: &str = "kubernetes-service-cidr-controller";

/// Creates and repairs every object that the cluster should have. Objects of kinds that the server does not have are
/// left out. Somebody else may do the same at the same time: then theirs counts.
///
/// # Errors
/// What the server answered to the first object that could not be written.
pub async fn apply(server: &ApiServer, settings: &Settings) -> Result<(), Status> {
    ensure(server, objects(settings)).await?;
    masters::announce(server, settings).await
}

/// Creates and repairs these objects.
///
/// # Errors
/// What the server answered to the first object that could not be written.
pub async fn ensure(server: &ApiServer, objects: Vec<Value>) -> Result<(), Status> {
    for desired in objects {
        let (group, version) = split(meta::api_version(&desired));
        let Some(kind) = kinds::by_kind(group, version, meta::kind(&desired)) else { continue };
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let place = match meta::namespace(&desired) {
            "" => format!("{root}/{}", kind.plural),
            namespace => format!("{root}/namespaces/{namespace}/{}", kind.plural),
        };
        let object = format!("{place}/{}", meta::name(&desired));
        let existing = match ask(server, Method::GET, &object, None).await {
            Ok(existing) => Some(existing),
            Err(status) if status.code == StatusCode::NOT_FOUND.as_u16() => None,
            Err(status) => return Err(status),
        };
        let condition = condition(&desired, existing.as_ref(), server.server.clock.now());
        let written = match plan(desired, existing.as_ref()) {
            Action::Nothing => Ok(Value::Null),
            Action::Create(new) => ask(server, Method::POST, &by(&place, kind), Some(&new)).await,
            Action::Update(new) => ask(server, Method::PUT, &by(&object, kind), Some(&new)).await,
            Action::Replace(new) => {
                ask(server, Method::DELETE, &object, None).await?;
                ask(server, Method::POST, &place, Some(&new)).await
            }
        };
        match written {
            // The service's address is still another's, if only because a crash left it behind: it is tried again.
            Err(status) if status.code == StatusCode::UNPROCESSABLE_ENTITY.as_u16() && kind.kind == "Service" => {
                tracing::warn!(error = status.message, "a service cannot be made yet");
            }
            Err(status) if status.code != StatusCode::CONFLICT.as_u16() => return Err(status),
            _ => {}
        }
        if let Some((manager, condition)) = condition {
            let place = format!("{object}/status?fieldManager={manager}&force=true");
            ask(server, Method::PATCH, &place, Some(&condition)).await?;
        }
    }
    Ok(())
}

/// What the server says of an object that nobody has said anything of yet, and as which field manager.
fn condition(desired: &Value, existing: Option<&Value>, now: Timestamp) -> Option<(&'static str, Value)> {
    let (name, manager) = match meta::kind(desired) {
        "FlowSchema" => ("Dangling", FLOW_CONTROL_CONSUMER),
        "ServiceCIDR" => ("Ready", SERVICE_RANGE_MANAGER),
        _ => return None,
    };
    let conditions = existing.map(|existing| existing.items_at(&["status", "conditions"])).unwrap_or_default();
    if conditions.iter().any(|condition| condition.str_at(&["type"]) == Some(name)) {
        return None;
    }
    let said = match name {
        "Dangling" => not_dangling(desired, now),
        _ => ready(desired, existing, now)?,
    };
    Some((manager, said))
}

/// What the default range is told when it is the one of the flags.
fn ready(desired: &Value, existing: Option<&Value>, now: Timestamp) -> Option<Value> {
    let is_other = |existing: &Value| existing.at(&["spec", "cidrs"]) != desired.at(&["spec", "cidrs"]);
    if existing.is_some_and(|existing| meta::is_deleting(existing) || is_other(existing)) {
        return None;
    }
    Some(value!({
        "kind": "ServiceCIDR",
        "apiVersion": (meta::api_version(desired)),
        "metadata": {"name": (meta::name(desired))},
        "status": {"conditions": [{
            "type": "Ready",
            "status": "True",
            "lastTransitionTime": (meta::seconds(now)),
            "message": "Kubernetes default Service CIDR is ready"
        }]}
    }))
}

/// What a flow schema is told whose priority level is there. Levels are made before schemas.
fn not_dangling(desired: &Value, now: Timestamp) -> Value {
    let level = desired.str_at(&["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default();
    let message = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {} and it exists",
        machinery::field::quote(level)
    );
    value!({
        "kind": "FlowSchema",
        "apiVersion": (meta::api_version(desired)),
        "metadata": {"name": (meta::name(desired))},
        "status": {"conditions": [{
            "type": "Dangling",
            "status": "False",
            "lastTransitionTime": (meta::seconds(now)),
            "reason": "Found",
            "message": message
        }]}
    })
}

/// The request says who owns what it writes, where that is not the server as a whole.
fn by(path: &str, kind: &Kind) -> String {
    match kind.group {
        "flowcontrol.apiserver.k8s.io" => format!("{path}?fieldManager={FLOW_CONTROL_MANAGER}"),
        _ => path.to_owned(),
    }
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}
