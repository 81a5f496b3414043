//! The documents that a server has about itself: discovery, OpenAPI, and how to check its tokens.

use http::{HeaderValue, StatusCode, header};
use jiff::SignedDuration;
use machinery::{Status, Value, json};
use sha2::{Digest as _, Sha512};

use crate::authentication::discovery as tokens;
use crate::call::Call;
use crate::negotiate::Encoding;
use crate::reply::{self, Reply};
use crate::server::Server;
use crate::{discovery, negotiate, openapi};

/// What the list of all groups in one is called, after its media type.
const AGGREGATED: &str = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";
/// How clients ask for OpenAPI v2 in protobuf.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

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
        // OpenAPI is at just its address; what is below the third version's is of a group and version, or empty.
        ["openapi", "v2"] if call.parts.uri.path() == "/openapi/v2" => return Ok(Some(openapi_v2(server, call))),
        ["openapi", "v2"] => return Ok(None),
        ["openapi", "v3"] if call.parts.uri.path() == "/openapi/v3" => return Ok(Some(openapi_v3_index(server, call))),
        ["openapi", "v3", ..] => {
            let place = call.parts.uri.path().strip_prefix("/openapi/v3/").unwrap_or_default();
            let found = openapi_v3(server, call, place);
            return Ok(Some(found.unwrap_or_else(|| reply::empty(StatusCode::NOT_FOUND))));
        }
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
    let is_routed = !matches!(parts.as_slice(), ["apis", group] if *group != "apiregistration.k8s.io");
    Ok(Some(reply::object(StatusCode::OK, &document, encoding(call, is_routed)?)))
}

/// `/api` and `/apis`: in one answer for those who ask for it, else the plain list.
fn roots(call: &Call, core: bool) -> Result<Reply, Status> {
    if let Some(encoding) = negotiate::all_in_one(&call.accept()) {
        return Ok(all_in_one(call, core, encoding));
    }
    let document = if core { discovery::core_versions(&own_address(call)) } else { discovery::groups() };
    Ok(reply::object(StatusCode::OK, &document, encoding(call, core)?))
}

/// The groups of a prefix in one answer, under a tag: who has it already is told so.
fn all_in_one(call: &Call, core: bool, encoding: Encoding) -> Reply {
    let document = discovery::aggregated(core);
    let tag = format!("\"{}\"", hex::encode_upper(Sha512::digest(json::to_vec(&document))));
    let has = call.header(header::IF_NONE_MATCH) == tag;
    let mut answer = if has { reply::empty(StatusCode::NOT_MODIFIED) } else { named(&document, encoding) };
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    answer
}

/// The answer whose media type says what is in it.
fn named(document: &Value, encoding: Encoding) -> Reply {
    let mut answer = reply::object(StatusCode::OK, document, encoding);
    let plain = answer.headers().get(header::CONTENT_TYPE).and_then(|found| found.to_str().ok()).unwrap_or(JSON);
    if let Ok(whole) = HeaderValue::from_str(&format!("{plain}{AGGREGATED}")) {
        answer.headers_mut().insert(header::CONTENT_TYPE, whole);
    }
    answer
}

/// How a document is written; upstream's aggregator makes some of them, which has no router in front.
fn encoding(call: &Call, is_routed: bool) -> Result<Encoding, Status> {
    if is_routed { call.accepts_plain() } else { negotiate::unrouted(&call.accept(), call.pretty()) }
}

/// OpenAPI v2 in the first form that the client takes.
fn openapi_v2(server: &Server, call: &Call) -> Reply {
    let Some(media_type) = wanted(call, &[JSON, V2_PROTOBUF, openapi::v2_protobuf::MEDIA_TYPE]) else {
        return reply::empty(StatusCode::NOT_ACCEPTABLE);
    };
    let hash = openapi::v2_hash();
    let write = || match media_type {
        JSON => (JSON, json::to_vec(&openapi::v2_document())),
        _ => (openapi::v2_protobuf::MEDIA_TYPE, openapi::v2_protobuf::encode(&openapi::v2_document())),
    };
    // The two forms are different answers at one address.
    let tag = if media_type == JSON { hash.to_owned() } else { format!("{hash}-protobuf") };
    kept(server, call, &tag, write)
}

fn openapi_v3_index(server: &Server, call: &Call) -> Reply {
    let index = json::to_vec(&openapi::v3_index());
    let hash = hex::encode_upper(Sha512::digest(&index));
    kept(server, call, &hash, || (JSON, index))
}

/// The document of a group and version. Under an address with its hash it may be kept for ever; another hash leads
/// to the present one.
fn openapi_v3(server: &Server, call: &Call, place: &str) -> Option<Reply> {
    let hash = openapi::v3_hash(place)?;
    if wanted(call, &[JSON]).is_none() {
        return Some(reply::empty(StatusCode::NOT_ACCEPTABLE));
    }
    let asked = call.query.text("hash");
    if !asked.is_empty() && asked != hash {
        let mut answer = reply::empty(StatusCode::MOVED_PERMANENTLY);
        let address = HeaderValue::from_str(&format!("/openapi/v3/{place}?hash={hash}")).ok()?;
        answer.headers_mut().insert(header::LOCATION, address);
        return Some(answer);
    }
    let document = || openapi::v3_document(place).map_or_else(Vec::new, |found| json::to_vec(&found));
    let mut answer = kept(server, call, hash, || (JSON, document()));
    if !asked.is_empty() {
        let expires = server.clock.now() + SignedDuration::from_hours(24 * 365);
        let expires = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&expires);
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        if let Some(expires) = expires.ok().and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(header::EXPIRES, expires);
        }
    }
    Some(answer)
}

/// The first of the `offered` media types that the client takes, by the client's order.
fn wanted<'o>(call: &Call, offered: &[&'o str]) -> Option<&'o str> {
    let accept = call.accept();
    if accept.is_empty() {
        return offered.first().copied();
    }
    negotiate::media_types(&accept).into_iter().find_map(|asked| {
        let (kind, sub) = asked.split_once('/')?;
        offered.iter().copied().find(|one| {
            let (offered_kind, offered_sub) = one.split_once('/').unwrap_or((one, ""));
            (kind == "*" || kind == offered_kind) && (sub == "*" || sub == offered_sub)
        })
    })
}

/// A document under a tag: who has it already is told so.
fn kept(server: &Server, call: &Call, hash: &str, write: impl FnOnce() -> (&'static str, Vec<u8>)) -> Reply {
    let tag = format!("\"{hash}\"");
    let has = call.header(header::IF_NONE_MATCH).split(',').any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut answer = if has {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        let (media_type, bytes) = write();
        reply::with_type(StatusCode::OK, media_type, reply::full(bytes))
    };
    let now = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&server.clock.now());
    let headers = answer.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if let Some(now) = now.ok().and_then(|text| HeaderValue::from_str(&text).ok()).filter(|_| !has) {
        headers.insert(header::LAST_MODIFIED, now);
    }
    answer
}

fn as_json(document: &Value) -> Reply {
    reply::with_type(StatusCode::OK, JSON, reply::full(json::to_vec(document)))
}

/// Where the client found this server.
fn own_address(call: &Call) -> String {
    let authority = call.parts.uri.authority().map(ToString::to_string);
    authority.unwrap_or_else(|| call.header(header::HOST).to_owned())
}
