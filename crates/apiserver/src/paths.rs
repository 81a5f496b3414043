//! What is served that is no resource: health, version, metrics.

use std::sync::Arc;

use http::{Method, StatusCode};
use machinery::{Status, Value, value};

use crate::call::Call;
use crate::negotiate::Encoding;
use crate::reply::{self, Reply};
use crate::server::Server;
use crate::{documents, health, pipeline, status};

/// The version whose behaviour this server has.
const GIT_VERSION: &str = "v1.36.2";

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
    let (root, rest) = trimmed.split_once('/').map_or((trimmed, None), |(root, rest)| (root, Some(rest)));
    let reads = matches!(call.parts.method, Method::GET | Method::HEAD);
    match (root, rest) {
        ("", None) | ("index.html", None) if reads => Ok(index()),
        ("statusz", None) if reads => Ok(reply::text(StatusCode::OK, status::statusz(server))),
        ("flagz", None) if reads => Ok(reply::text(StatusCode::OK, status::flagz(server))),
        ("livez" | "readyz" | "healthz", check) if reads => Ok(health::serve(server, root, check, &call.query).await),
        ("version", None) if call.parts.method == Method::GET => {
            Ok(reply::object(StatusCode::OK, &version(), call.accepts_plain()?))
        }
        ("version", None) => Err(Status::method_not_allowed()),
        ("metrics", None) if reads => Ok(metrics(server)),
        ("metrics", Some("slis")) if reads => Ok(metrics_text(server.metrics.health(server).await)),
        ("api" | "apis", _) if call.parts.method != Method::GET && is_served(trimmed) => {
            Err(Status::method_not_allowed())
        }
        _ if reads && let Some(answer) = documents::serve(server, call, trimmed)? => Ok(answer),
        ("api" | "apis", Some(_)) if is_group(path) => Err(Status::no_such_resource()),
        _ => Ok(pipeline::not_found()),
    }
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

fn metrics(server: &Server) -> Reply {
    metrics_text(server.metrics.text(server))
}

fn metrics_text(text: String) -> Reply {
    reply::with_type(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        reply::full(text),
    )
}

/// What `/version` says.
#[must_use]
pub fn version() -> Value {
    let (arch, os) = (architecture(), std::env::consts::OS);
    value!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": (GIT_VERSION),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": (format!("{os}/{arch}")),
    })
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
