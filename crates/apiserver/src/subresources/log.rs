//! `pods/log`: what a container writes, from the kubelet.

use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use kinds::Kind;
use machinery::field::{Error, Errors, Path};
use machinery::status::In;
use machinery::{Status, Value, meta};

use crate::call::Call;
use crate::kubelet::{self, Target};
use crate::objects::Objects;
use crate::query::{Query, escape};
use crate::reply::{self, Reply};
use crate::server::Server;

/// The options that travel on to the kubelet.
const OPTIONS: [&str; 7] = ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes"];

/// Answers with a container's log.
///
/// # Errors
/// 404 when there is no such pod, 400 without a clear container, and what the kubelet says.
pub async fn get(server: &Arc<Server>, call: &Call, kind: &'static Kind) -> Result<Reply, Status> {
    let (info, query) = (&call.info, &call.query);
    check_form(query).map_err(Status::bad_request)?;
    let errors = check(query);
    if !errors.is_empty() {
        return Err(Status::invalid(In { group: "", name: "PodLogOptions" }, &info.name, &errors));
    }
    let pod = Objects::new(server, kind).get(&info.namespace, &info.name).await?.object;
    let container = container(&pod, query.text("container"))?;
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    if node.is_empty() {
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    let target = Target::of(server, node).await?;
    let mut path = format!("/containerLogs/{}/{}/{}", escape(&info.namespace), escape(&info.name), escape(&container));
    let given = OPTIONS.iter().flat_map(|name| query.all(name).map(move |value| format!("{name}={}", escape(value))));
    let given: Vec<String> = given.collect();
    if !given.is_empty() {
        path = format!("{path}?{}", given.join("&"));
    }
    let mut answer = kubelet::ask(server, &target, Method::GET, &path).await?;
    let resource = In { group: "", name: "pods/log" };
    if !answer.status().is_success() {
        return Err(kubelet::failure(answer, resource, &info.name).await);
    }
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(kubelet::stream(server, call, answer))
}

/// The container that is meant: the one named, or the only one.
///
/// # Errors
/// 400 when that is none or not clear.
pub fn container(pod: &Value, asked: &str) -> Result<String, Status> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let names = lists.iter().flat_map(|list| pod.items_at(&["spec", list])).filter_map(|c| c.str_at(&["name"]));
    let names: Vec<&str> = names.collect();
    let pod_name = meta::name(pod);
    if !asked.is_empty() {
        let known = names.contains(&asked);
        return known
            .then(|| asked.to_owned())
            .ok_or_else(|| Status::bad_request(format!("container {asked} is not valid for pod {pod_name}")));
    }
    match pod.items_at(&["spec", "containers"]) {
        [only] => Ok(only.str_at(&["name"]).unwrap_or_default().to_owned()),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]",
            names.join(" ")
        ))),
    }
}

/// What is no number or time at all, in the words of Go's parsers.
fn check_form(query: &Query) -> Result<(), String> {
    for name in ["sinceSeconds", "tailLines", "limitBytes"] {
        query.number(name)?;
    }
    let time = query.text("sinceTime");
    if time.is_empty() || time.parse::<Timestamp>().is_ok() {
        return Ok(());
    }
    let quoted = machinery::field::quote(time);
    Err(format!("parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted} as \"2006\""))
}

fn check(query: &Query) -> Errors {
    let mut errors = Errors::new();
    let least = [("tailLines", 0, "must be greater than or equal to 0"), ("limitBytes", 1, "must be greater than 0")];
    for (name, least, why) in least {
        check_number(query, name, least, why, &mut errors);
    }
    let since_time = query.text("sinceTime");
    match (query.has("sinceSeconds"), !since_time.is_empty()) {
        (true, true) => {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(Error::forbidden(&Path::new("[]"), why));
        }
        (true, false) => check_number(query, "sinceSeconds", 1, "must be greater than 0", &mut errors),
        _ => {}
    }
    check_stream(query, &mut errors);
    errors
}

fn check_number(query: &Query, name: &str, least: i64, why: &str, errors: &mut Errors) {
    if let Ok(Some(number)) = query.number(name)
        && number < least
    {
        errors.push(Error::invalid(&Path::new(name), number, why));
    }
}

/// One stream alone cannot be asked for (KEP-3288 is not on by default).
fn check_stream(query: &Query, errors: &mut Errors) {
    if query.has("stream") {
        errors.push(Error::forbidden(&Path::new("stream"), "may not be specified"));
    }
}
