//! Which path is answered by what.

use std::sync::Arc;

use client::{Body, serving};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::Pod;

use super::{container_logs, streams};
use crate::node::Node;
use crate::pod::spec;
use crate::probe::metrics;

/// Answers an allowed request.
pub(super) async fn route(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let stream = matches!(*request.method(), Method::GET | Method::POST);
    match parts.as_slice() {
        ["healthz"] | ["healthz", "ping"] => serving::text(StatusCode::OK, "ok"),
        ["metrics"] => serving::exposed(client::metrics::gather(metrics::gather()), request.headers()),
        ["pods"] => serving::json(&pods(node)),
        ["containerLogs", namespace, pod, container] => match find(node, namespace, pod, None) {
            Some(pod) => container_logs::serve(node, &pod, container, request.uri().query()).await,
            None => no_pod(pod),
        },
        [kind @ ("exec" | "attach" | "run" | "portForward"), rest @ ..] if stream => {
            let (namespace, pod, uid, container) = match (*kind, rest) {
                ("portForward", [namespace, pod]) => (namespace, pod, None, ""),
                ("portForward", [namespace, pod, uid]) => (namespace, pod, Some(*uid), ""),
                (_, [namespace, pod, container]) => (namespace, pod, None, *container),
                (_, [namespace, pod, uid, container]) => (namespace, pod, Some(*uid), *container),
                _ => return serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            };
            match find(node, namespace, pod, uid) {
                Some(pod) => streams::serve(node, &pod, kind, container, request).await,
                None => no_pod(pod),
            }
        }
        _ => serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn find(node: &Node, namespace: &str, name: &str, uid: Option<&str>) -> Option<Arc<Pod>> {
    node.pods.find(namespace, name).filter(|pod| uid.is_none_or(|uid| uid == spec::uid(pod)))
}

fn no_pod(name: &str) -> Response<Body> {
    serving::text(StatusCode::NOT_FOUND, format!("pod \"{name}\" does not exist\n"))
}

fn pods(node: &Node) -> serde_json::Value {
    let items: Vec<_> =
        node.pods.list().into_iter().map(|pod| serde_json::to_value(&*pod).unwrap_or_default()).collect();
    serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
}
