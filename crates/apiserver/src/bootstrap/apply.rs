//! Makes what a cluster has before anybody asks for it, through the server's own front door.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use kinds::Kind;
use machinery::{Status, Value, json, meta, value};
use tower::Service as _;

use super::{Action, Settings, objects, plan};
use crate::{ApiServer, User};

/// The field manager of flow schemas and priority levels.
const FLOW_CONTROL_MANAGER: &str = "api-priority-and-fairness-config-producer-v1";
/// The field manager of what flow schemas are told.
const FLOW_CONTROL_CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Creates and repairs every object that the cluster should have. Objects of kinds that the server does not have are
/// left out. Somebody else may do the same at the same time: then theirs counts.
///
/// # Errors
/// What the server answered to the first object that could not be written.
pub async fn apply(server: &ApiServer, settings: &Settings) -> Result<(), Status> {
    ensure(server, objects(settings)).await
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
        let condition = not_dangling(&desired, existing.as_ref(), server.server.clock.now());
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
            Err(status) if status.code != StatusCode::CONFLICT.as_u16() => return Err(status),
            _ => {}
        }
        if let Some(condition) = condition {
            let place = format!("{object}/status?fieldManager={FLOW_CONTROL_CONSUMER}&force=true");
            ask(server, Method::PATCH, &place, Some(&condition)).await?;
        }
    }
    Ok(())
}

/// What a flow schema is told whose priority level is there, unless it knows. Levels are made before schemas.
fn not_dangling(desired: &Value, existing: Option<&Value>, now: Timestamp) -> Option<Value> {
    const CONDITION: &str = "Dangling";
    let conditions = existing.map(|existing| existing.items_at(&["status", "conditions"])).unwrap_or_default();
    if meta::kind(desired) != "FlowSchema" || conditions.iter().any(|c| c.str_at(&["type"]) == Some(CONDITION)) {
        return None;
    }
    let level = desired.str_at(&["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default();
    let message = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {} and it exists",
        machinery::field::quote(level)
    );
    Some(value!({
        "kind": "FlowSchema",
        "apiVersion": (meta::api_version(desired)),
        "metadata": {"name": (meta::name(desired))},
        "status": {"conditions": [{
            "type": CONDITION,
            "status": "False",
            "lastTransitionTime": (meta::seconds(now)),
            "reason": "Found",
            "message": message
        }]}
    }))
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

/// One request in process, as the server itself.
async fn ask(server: &ApiServer, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Status> {
    let bytes = body.map(json::to_vec).unwrap_or_default();
    let mut request = Request::new(Full::new(Bytes::from(bytes)));
    let encoding = if method == Method::PATCH { "application/apply-patch+yaml" } else { "application/json" };
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|error| Status::internal(format!("{path}: {error}")))?;
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(encoding));
    // The field manager of what the server itself makes.
    request.headers_mut().insert(header::USER_AGENT, header::HeaderValue::from_static("kube-apiserver"));
    request.extensions_mut().insert(User::loopback());
    let Ok(answer) = server.clone().call(request).await;
    let code = answer.status();
    let body = answer.into_body().collect().await.map_err(Status::internal)?.to_bytes();
    let value = json::parse(&body).map_err(Status::internal)?;
    if code.is_success() {
        return Ok(value);
    }
    Err(Status::from_value(&value).unwrap_or_else(|| Status::internal(format!("{path} answered {code}"))))
}
