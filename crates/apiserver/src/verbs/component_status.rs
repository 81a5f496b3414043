//! GET of component statuses: the control plane's parts are asked how they are, each time anew.

use std::sync::Arc;

use http::{Method, StatusCode};
use kinds::Kind;
use machinery::{Status, Value, meta, value};

use crate::cache::Selection;
use crate::call::Call;
use crate::kubelet::{self, Target};
use crate::kubelet_tls::probe_tls;
use crate::options::ListOptions;
use crate::reply::Reply;
use crate::respond;
use crate::server::Server;

/// The resource in paths.
pub const RESOURCE: &str = "componentstatuses";

/// The parts that answer for themselves, with the ports of their health checks on this machine.
const PARTS: [(&str, u16); 2] = [("scheduler", 10259), ("controller-manager", 10257)];
const STORE: &str = "etcd-0";

/// Answers with one or all of them.
///
/// # Errors
/// 404 for a part that there is not.
pub async fn serve(server: &Arc<Server>, call: &Call, kind: &'static Kind) -> Result<Reply, Status> {
    if call.info.verb == "get" {
        let accepted = call.accepts_object()?;
        let found = one(server, &call.info.name).await;
        let found = found.ok_or_else(|| Status::not_found(kind.group_resource(), &call.info.name))?;
        return respond::object(server, call, kind, StatusCode::OK, &found, accepted);
    }
    let accepted = call.accepts_list()?;
    let options = ListOptions::parse(&call.query)?;
    Selection::parse(kind, "", &options.label_selector, &options.field_selector)?;
    let mut all = Vec::new();
    for name in PARTS.map(|(name, _)| name).into_iter().chain([STORE]) {
        all.extend(one(server, name).await);
    }
    respond::list(server, call, kind, all, Value::object(), accepted)
}

async fn one(server: &Arc<Server>, name: &str) -> Option<Value> {
    let health = match PARTS.iter().find(|(part, _)| *part == name) {
        Some((_, port)) => asked(server, *port).await,
        None if name == STORE => server.store.revision().await.map(drop).map_err(|error| error.to_string()),
        None => return None,
    };
    let condition = match health {
        Ok(()) => value!({"type": "Healthy", "status": "True", "message": "ok"}),
        Err(why) => value!({"type": "Healthy", "status": "False", "message": why}),
    };
    let mut status = value!({"metadata": {"name": name}, "conditions": [condition]});
    meta::set_type(&mut status, "v1", "ComponentStatus");
    Some(status)
}

/// Asks a part on this machine.
async fn asked(server: &Arc<Server>, port: u16) -> Result<(), String> {
    let tls = probe_tls().map_err(|error| error.to_string())?;
    let target = Target { host: "127.0.0.1".to_owned(), port, tls: Some(tls) };
    match kubelet::ask(server, &target, Method::GET, "/healthz").await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("Get \"https://127.0.0.1:{port}/healthz\": {}", answer.status())),
        Err(status) => {
            let why = status.message.strip_prefix("error dialing backend: ").unwrap_or(&status.message);
            Err(format!("Get \"https://127.0.0.1:{port}/healthz\": {why}"))
        }
    }
}
