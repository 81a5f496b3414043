//! What is served that is no resource: health, version, metrics.

use std::sync::Arc;

use http::{Method, StatusCode};
use machinery::{Status, Value, value};

use crate::call::Call;
use crate::negotiate::Encoding;
use crate::reply::{self, Reply};
use crate::server::Server;
use crate::{documents, health, metrics, pipeline, status};

/// The paths that are always there.
const PATHS: [&str; 16] = [
    "/.well-known/openid-configuration",
    "/api",
    "/apis",
    "/apis/",
    "/flagz",
    "/healthz",
    "/livez",
    "/metrics",
    "/metrics/slis",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/readyz",
    "/statusz",
    "/version",
];

/// Answers a request for a path.
///
/// # Errors
/// 404 for versions that do not exist, 406.
pub async fn serve(server: &Arc<Server>, call: &Call) -> Result<Reply, Status> {
    let path = call.parts.uri.path();
    let trimmed = path.trim_matches('/');
    if is_routed(trimmed) {
        return routed(server, call, trimmed);
    }
    match path {
        "/" | "/index.html" => return Ok(index()),
        "/statusz" => return Ok(reply::text(StatusCode::OK, status::statusz(server))),
        "/flagz" => return Ok(reply::text(StatusCode::OK, status::flagz(server))),
        "/metrics" => return Ok(metrics::serve(server, call, false).await),
        "/metrics/slis" => return Ok(metrics::serve(server, call, true).await),
        _ => {}
    }
    // `CONNECT host:port` names no path.
    let mut parts = path.strip_prefix('/').unwrap_or(path).splitn(2, '/');
    if let Some(root @ ("livez" | "readyz" | "healthz")) = parts.next() {
        return Ok(health::serve(server, root, parts.next(), &call.query).await);
    }
    if let Some(answer) = documents::serve(server, call, trimmed)? {
        return Ok(answer);
    }
    if is_group(path) { Err(Status::no_such_resource()) } else { Ok(pipeline::not_found()) }
}

/// Whether upstream serves what is at and under `path` by a router, which knows methods. Its other paths answer to
/// all methods alike: health, metrics, OpenAPI, and the lists of groups that the aggregator makes.
fn is_routed(path: &str) -> bool {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["version", ..] | [".well-known", "openid-configuration", ..] | ["openid", "v1", "jwks", ..] => true,
        ["api", ..] => true,
        ["apis", group] => *group == "apiregistration.k8s.io",
        ["apis", _, _, ..] => is_served(path),
        _ => false,
    }
}

fn routed(server: &Server, call: &Call, path: &str) -> Result<Reply, Status> {
    let is_version = path == "version";
    let is_there = is_version || is_served(path) || PATHS.iter().any(|known| known.trim_matches('/') == path);
    if !is_there {
        return Err(Status::no_such_resource());
    }
    if call.parts.method != Method::GET {
        return Err(Status::method_not_allowed());
    }
    if is_version {
        return Ok(reply::object(StatusCode::OK, &version(), call.accepts_plain()?));
    }
    documents::serve(server, call, path)?.ok_or_else(Status::no_such_resource)
}

/// Whether the group of the path is served, though perhaps not the version.
fn is_group(path: &str) -> bool {
    match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["api", ..] => true,
        ["apis", group, _, ..] => kinds::all().iter().any(|kind| kind.group == *group),
        _ => false,
    }
}

/// Whether a document of discovery is at `path`.
fn is_served(path: &str) -> bool {
    matches!(path, "api" | "apis") || index_paths().iter().any(|known| known.trim_matches('/') == path)
}

/// `/`: all paths that are no resources.
fn index() -> Reply {
    let paths: Vec<Value> = index_paths().into_iter().map(Value::from).collect();
    reply::object(StatusCode::OK, &value!({"paths": paths}), Encoding::JsonPretty)
}

fn index_paths() -> Vec<String> {
    let mut paths: Vec<String> = PATHS.iter().map(|path| (*path).to_owned()).collect();
    for kind in kinds::all() {
        if kind.group.is_empty() {
            paths.push(format!("/api/{}", kind.version));
        } else {
            paths.extend([format!("/apis/{}", kind.group), format!("/apis/{}/{}", kind.group, kind.version)]);
        }
    }
    for root in ["healthz", "livez", "readyz"] {
        paths.extend(health::names(root).into_iter().map(|check| format!("/{root}/{check}")));
    }
    paths.sort();
    paths.dedup();
    paths
}

/// What `/version` says.
#[must_use]
pub fn version() -> Value {
    let mut version = value!({});
    for (_, field, value) in machinery::release::build() {
        version.set_at(&[field], value);
    }
    let mut shown = value!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
    });
    for field in ["gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"] {
        shown.set_at(&[field], version.str_at(&[field]).unwrap_or_default());
    }
    shown
}
