//! `pods/exec`, `pods/attach`, `pods/portforward`: a connection through to the kubelet of the pod.

use std::sync::Arc;

use kinds::{Kind, Subresource};
use machinery::{Status, Value};

use super::log::container;
use crate::access::{self, Write};
use crate::admission::Operation;
use crate::call::Call;
use crate::kubelet::{self, Target};
use crate::objects::Objects;
use crate::query::{Query, escape};
use crate::reply::{Body, Reply};
use crate::server::Server;

/// Opens the connection.
///
/// # Errors
/// 404 when there is no such pod, 400 when it has no node or no clear container, 500 when the kubelet is not reached.
pub async fn serve(
    server: &Arc<Server>,
    call: &mut Call,
    kind: &'static Kind,
    subresource: &'static Subresource,
    body: Body,
) -> Result<Reply, Status> {
    let write = Write { operation: Operation::Connect, kind, body_kind: subresource.body.2, old: None, dry_run: false };
    let mut options = Value::object();
    access::admit(server, call, &write, &mut options).await?;
    access::validate(server, call, &write, &mut options).await?;
    let pod = Objects::new(server, kind).get(&call.info.namespace, &call.info.name).await?.object;
    let path = path(call, &pod, subresource.name)?;
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.info.name)));
    }
    let target = Target::of(server, node).await?;
    kubelet::connect(server, call, &target, &path, body).await
}

/// The kubelet's path for what the client asks.
fn path(call: &Call, pod: &Value, subresource: &str) -> Result<String, Status> {
    let (namespace, name) = (escape(&call.info.namespace), escape(&call.info.name));
    if subresource == "portforward" {
        for port in call.query.all("ports").flat_map(|ports| ports.split(',')) {
            check_port(port)?;
        }
        let ports: Vec<String> = call.query.all("ports").map(|port| format!("port={}", escape(port))).collect();
        return Ok(format!("/portForward/{namespace}/{name}{}", question(&ports)));
    }
    let container = escape(&container(pod, call.query.text("container"))?);
    Ok(format!("/{subresource}/{namespace}/{name}/{container}{}", question(&streams(&call.query))))
}

fn check_port(port: &str) -> Result<(), Status> {
    let Err(error) = port.parse::<u16>() else { return Ok(()) };
    let too_large = matches!(error.kind(), std::num::IntErrorKind::PosOverflow);
    let why = if too_large { "value out of range" } else { "invalid syntax" };
    let quoted = machinery::field::quote(port);
    Err(Status::bad_request(format!("cannot convert to []int32: strconv.ParseUint: parsing {quoted}: {why}")))
}

/// The streams and the command, in the kubelet's words.
fn streams(query: &Query) -> Vec<String> {
    let words = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    let wanted = words.iter().filter(|(option, _)| query.truth(option) == Some(true));
    let mut given: Vec<String> = wanted.map(|(_, word)| format!("{word}=1")).collect();
    given.extend(query.all("command").map(|word| format!("command={}", escape(word))));
    given
}

fn question(given: &[String]) -> String {
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_in_the_kubelets_words() {
        let query = Query::parse(Some("stdin=true&stdout=1&tty=false&command=sh&command=-c&command=echo+a%26b"));
        assert_eq!(streams(&query).join("&"), "input=1&output=1&command=sh&command=-c&command=echo%20a%26b");
    }
}
