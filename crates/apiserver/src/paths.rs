//! What is served that is no resource: health, version, metrics.

use std::sync::Arc;

use http::{Method, StatusCode};
use machinery::{Status, Value, value};

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::server::Server;
use crate::{documents, health, pipeline};

/// The version whose behaviour this server has.
const GIT_VERSION: &str = "v1.36.2";

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
        ("livez" | "readyz" | "healthz", check) if reads => Ok(health::serve(server, root, check, &call.query).await),
        ("version", None) if call.parts.method == Method::GET => {
            Ok(reply::object(StatusCode::OK, &version(), call.accepts_plain()?))
        }
        ("version", None) => Err(Status::method_not_allowed()),
        ("metrics", None) if reads => Ok(metrics(server)),
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

fn metrics(server: &Server) -> Reply {
    let text = server.metrics.text(server);
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
