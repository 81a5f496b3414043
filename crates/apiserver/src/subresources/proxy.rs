//! `proxy` of pods, services and nodes: an HTTP request handed on to what they serve.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use kinds::Kind;
use machinery::{Status, Value, meta};

use crate::cache::Selection;
use crate::call::Call;
use crate::kubelet::{self, Target};
use crate::objects::Objects;
use crate::reply::{self, Body, Reply};
use crate::server::Server;

/// Which service an EndpointSlice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Hands the request on.
///
/// # Errors
/// 404 when there is no such object, 503 when nothing is behind a service, 400 for an address that is not allowed.
pub async fn serve(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let target = target(server, call, kind).await?;
    let raw = call.parts.uri.path().to_owned();
    let marker = "/proxy";
    let rest = raw.find(marker).map_or("", |at| &raw[at + marker.len()..]);
    if rest.is_empty() && matches!(call.parts.method, Method::GET | Method::HEAD) {
        return Ok(with_slash(call));
    }
    let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = if rest.is_empty() { format!("/{query}") } else { format!("{rest}{query}") };
    let base = raw[..raw.len() - rest.len()].to_owned();
    say_where(call, &base, rest);
    let mut answer = kubelet::connect(server, call, &target, &path, body).await.map_err(unreachable)?;
    if let Some(place) = moved(&answer, &base, &target) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    Ok(answer)
}

/// Tells whom the request is for by which way it came, so that it can make links that lead back here.
fn say_where(call: &mut Call, base: &str, rest: &str) {
    let host = call.header(header::HOST).to_owned();
    let authority = call.parts.uri.authority().map_or(host, ToString::to_string);
    let uri = if rest.is_empty() { format!("{base}/") } else { format!("{base}{rest}") };
    for (name, text) in
        [("x-forwarded-uri", uri.as_str()), ("x-forwarded-host", authority.as_str()), ("x-forwarded-proto", "https")]
    {
        if let Ok(value) = HeaderValue::from_str(text) {
            call.parts.headers.insert(name, value);
        }
    }
}

/// The place of a redirection within the target, seen through the proxy.
fn moved(answer: &Reply, base: &str, target: &Target) -> Option<HeaderValue> {
    let place = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    let own = [format!("http://{}", target.authority()), format!("https://{}", target.authority())];
    let path = own.iter().find_map(|own| place.strip_prefix(own.as_str())).unwrap_or(place);
    path.starts_with('/').then(|| HeaderValue::from_str(&format!("{base}{path}")).ok()).flatten()
}

/// What cannot be reached is unavailable; the kubelet's own paths say it otherwise.
fn unreachable(status: Status) -> Status {
    match status.message.strip_prefix("error dialing backend: ") {
        Some(why) => Status::service_unavailable(format!("error trying to reach service: {why}")),
        None => status,
    }
}

/// Links in a page are relative to its folder, so the path must end in a slash.
fn with_slash(call: &Call) -> Reply {
    let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut reply = reply::empty(StatusCode::MOVED_PERMANENTLY);
    if let Ok(place) = HeaderValue::from_str(&format!("{}/{query}", call.parts.uri.path())) {
        reply.headers_mut().insert(header::LOCATION, place);
    }
    reply
}

async fn target(server: &Arc<Server>, call: &Call, kind: &'static Kind) -> Result<Target, Status> {
    let (scheme, name, port) = split(&call.info.name).ok_or_else(|| {
        let id = machinery::field::quote(&call.info.name);
        Status::bad_request(format!("invalid {} request {id}", kind.singular()))
    })?;
    let objects = Objects::new(server, kind);
    if kind.plural == "nodes" {
        let mut target = Target::of(server, name).await?;
        target.port = port.parse().unwrap_or(target.port);
        return Ok(target);
    }
    let object = objects.get(&call.info.namespace, name).await?.object;
    let (host, port) = match kind.plural {
        "services" => endpoint(server, &object, port).await?,
        _ => (pod_address(&object)?, number(port).unwrap_or_else(|| first_port(&object))),
    };
    let tls = if scheme == "https" { server.options.kubelet_tls.clone() } else { None };
    Ok(Target { host, port, tls })
}

/// `https:name:port`, `name:port` or `name`.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [scheme @ ("" | "http" | "https"), name, port] => Some((scheme, name, port)),
        [name, port] => Some(("", name, port)),
        [name] => Some(("", name, "")),
        _ => None,
    }
}

fn number(port: &str) -> Option<u16> {
    port.parse().ok().filter(|port| *port != 0)
}

fn pod_address(pod: &Value) -> Result<String, Status> {
    let address = pod.str_at(&["status", "podIP"]).unwrap_or_default();
    let allowed = address.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified());
    allowed.then(|| address.to_owned()).ok_or_else(|| Status::bad_request("address not allowed"))
}

fn first_port(pod: &Value) -> u16 {
    let ports = pod.items_at(&["spec", "containers"]).iter().flat_map(|container| container.items_at(&["ports"]));
    let first = ports.filter_map(|port| port.int_at(&["containerPort"])).next();
    first.and_then(|port| u16::try_from(port).ok()).unwrap_or(80)
}

/// A ready endpoint of the service; by chance, where there are several.
async fn endpoint(server: &Arc<Server>, service: &Value, wanted: &str) -> Result<(String, u16), Status> {
    let (namespace, name) = (meta::namespace(service), meta::name(service));
    let none = || Status::service_unavailable(format!("no endpoints available for service \"{name}\""));
    let ports = service.items_at(&["spec", "ports"]);
    let is_wanted = |port: &&Value| {
        wanted == port.str_at(&["name"]).unwrap_or_default() || number(wanted).map(i64::from) == port.int_at(&["port"])
    };
    let port = match ports {
        [only] if wanted.is_empty() => Some(only),
        all => all.iter().find(is_wanted),
    };
    let numbered = wanted.parse::<i64>().ok().filter(|_| port.is_none());
    let unknown = numbered
        .map(|port| Status::service_unavailable(format!("no service port {port} found for service \"{name}\"")));
    let port_name = port.ok_or_else(|| unknown.unwrap_or_else(none))?.str_at(&["name"]).unwrap_or_default().to_owned();
    let slices = kinds::lookup("discovery.k8s.io", "v1", "endpointslices").and_then(|kind| server.cacher.of(kind));
    let items = slices.ok_or_else(none)?.snapshot(&Selection::all(namespace)).items;
    let slices = items.iter().map(|item| item.value()).filter(|slice| meta::label(slice, SERVICE_LABEL) == Some(name));
    let found: Vec<(String, u16)> = slices.flat_map(|slice| addresses(&slice, &port_name)).collect();
    found.get(server.random.below(found.len())).cloned().ok_or_else(none)
}

fn addresses(slice: &Value, port_name: &str) -> Vec<(String, u16)> {
    let ports = slice.items_at(&["ports"]);
    let port = ports.iter().find(|port| port.str_at(&["name"]).unwrap_or_default() == port_name);
    let port = port.and_then(|port| port.int_at(&["port"])).and_then(|port| u16::try_from(port).ok());
    let Some(port) = port else { return Vec::new() };
    let ready = slice.items_at(&["endpoints"]).iter().filter(|e| e.bool_at(&["conditions", "ready"]) != Some(false));
    let hosts = ready.flat_map(|endpoint| endpoint.items_at(&["addresses"])).filter_map(Value::as_str);
    hosts.map(|host| (host.to_owned(), port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_stay_behind_the_proxy() {
        let target = Target { host: "10.0.0.1".to_owned(), port: 80, tls: None };
        let through = |place: &'static str| {
            let mut answer = reply::empty(StatusCode::FOUND);
            answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(place));
            moved(&answer, "/api/v1/namespaces/a/pods/b/proxy", &target).map(|place| place.to_str().unwrap().to_owned())
        };
        assert_eq!(through("/x").as_deref(), Some("/api/v1/namespaces/a/pods/b/proxy/x"));
        assert_eq!(through("http://10.0.0.1:80/y").as_deref(), Some("/api/v1/namespaces/a/pods/b/proxy/y"));
        assert_eq!(through("https://example.com/z"), None);
    }

    #[test]
    fn names() {
        assert_eq!(split("https:x:1"), Some(("https", "x", "1")));
        assert_eq!(split("x:web"), Some(("", "x", "web")));
        assert_eq!(split("x"), Some(("", "x", "")));
        assert_eq!(split("ftp:x:1"), None);
        assert_eq!(split("a:b:c:d"), None);
    }
}
