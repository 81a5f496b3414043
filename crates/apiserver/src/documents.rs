//! The documents that a server has about itself: discovery, OpenAPI, and how to check its tokens.

use http::{HeaderValue, StatusCode, header};
use machinery::{Status, Value, json};

use crate::authentication::discovery as tokens;
use crate::call::Call;
use crate::reply::{self, Reply};
use crate::server::Server;
use crate::{discovery, openapi};

/// How the list of all groups in one is asked for, and what its answer is called.
const AGGREGATED: [&str; 4] = [JSON, "g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"];
const AGGREGATED_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";

/// Answers a GET of a document at `path` (without its outer slashes); nothing when there is none.
///
/// # Errors
/// 406 when the client takes nothing that there is.
pub fn serve(server: &Server, call: &Call, path: &str) -> Result<Option<Reply>, Status> {
    let parts: Vec<&str> = path.split('/').collect();
    let document = match parts.as_slice() {
        [root @ ("api" | "apis")] => return roots(call, *root == "api").map(Some),
        ["api", version] => discovery::resources("", version),
        ["apis", group] => discovery::group(group),
        ["apis", group, version] => discovery::resources(group, version),
        ["openapi", "v2"] => return openapi_v2(call).map(Some),
        ["openapi", "v3"] => return Ok(Some(as_json(openapi::v3_index()))),
        ["openapi", "v3", place @ ..] => return Ok(openapi::v3_document(&place.join("/")).map(|found| as_json(&found))),
        [".well-known", "openid-configuration"] => {
            let base = format!("https://{}", own_address(call));
            return Ok(Some(as_json(&tokens::configuration(&server.access.authenticator.tokens, &base))));
        }
        ["openid", "v1", "jwks"] => {
            let keys = json::to_vec(&tokens::keys(&server.access.authenticator.tokens));
            return Ok(Some(reply::with_type(StatusCode::OK, tokens::KEYS_TYPE, reply::full(keys))));
        }
        _ => None,
    };
    let Some(document) = document else { return Ok(None) };
    Ok(Some(reply::object(StatusCode::OK, &document, call.accepts_plain()?)))
}

/// `/api` and `/apis`: in one answer for those who ask for it, else the plain list.
fn roots(call: &Call, core: bool) -> Result<Reply, Status> {
    let accept = call.accept();
    let takes_all_in_one = accept.split(',').find_map(|one| {
        let has = |wanted: &str| one.split(';').any(|part| part.trim() == wanted);
        if one.contains("as=") {
            return AGGREGATED.into_iter().all(has).then_some(true);
        }
        one.trim().starts_with(JSON).then_some(false)
    });
    if takes_all_in_one == Some(true) {
        let body = json::to_vec(&discovery::aggregated(core));
        let mut answer = reply::with_type(StatusCode::OK, AGGREGATED_TYPE, reply::full(body));
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        return Ok(answer);
    }
    let document = if core { discovery::core_versions(&own_address(call)) } else { discovery::groups() };
    Ok(reply::object(StatusCode::OK, &document, call.accepts_plain()?))
}

/// OpenAPI v2 is served as JSON only.
fn openapi_v2(call: &Call) -> Result<Reply, Status> {
    let accept = call.accept();
    let takes_json = accept.is_empty() || ["*/*", JSON, "application/*"].iter().any(|kind| accept.contains(kind));
    if !takes_json {
        return Err(Status::not_acceptable(&[JSON]));
    }
    Ok(as_json(&openapi::v2_document()))
}

fn as_json(document: &Value) -> Reply {
    reply::with_type(StatusCode::OK, JSON, reply::full(json::to_vec(document)))
}

/// Where the client found this server.
fn own_address(call: &Call) -> String {
    let authority = call.parts.uri.authority().map(ToString::to_string);
    authority.unwrap_or_else(|| call.header(header::HOST).to_owned())
}
