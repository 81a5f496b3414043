//! `pods/eviction`: a deletion that a disruption budget may forbid for now.

use std::sync::Arc;

use http::StatusCode;
use kinds::Kind;
use machinery::status::{Cause, Details, In};
use machinery::{Status, Value, labels, meta, value};

use super::binding::set_condition;
use crate::access::{self, Write};
use crate::admission::Operation;
use crate::cache::Selection;
use crate::call::{self, Call};
use crate::codec::{self, Expected};
use crate::objects::Objects;
use crate::options::{DeleteOptions, WriteOptions};
use crate::reply::{self, Body, Reply};
use crate::server::Server;
use crate::verbs::delete::delete_object;
use crate::{ownership, write};

const SCHEMA: &str = "io.k8s.api.policy.v1.Eviction";
const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const TOO_MANY_BUDGETS: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// A budget remembers at most so many pods whose end it has not seen.
const MAX_DISRUPTED_PODS: usize = 2_000;

/// When to come back while the budget's controller has not seen the latest budget.
const RETRY_AFTER_SECONDS: u32 = 10;

/// Evicts the pod of the path.
///
/// # Errors
/// 404 when there is no such pod, 429 when its budget allows no disruption now.
pub async fn create(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let accepted = call.accepts_plain()?;
    let bytes = call::read(body).await?;
    let options = WriteOptions::create(&call.query)?;
    let mut eviction = codec::untyped(call, &bytes, "Eviction")?;
    // The older version of the same type is still sent by old clients.
    if meta::api_version(&eviction) == "policy/v1beta1" || meta::api_version(&eviction).is_empty() {
        meta::set_type(&mut eviction, "policy/v1", "Eviction");
    }
    let expected = Expected { group: "policy", version: "v1", kind: "Eviction" };
    let message = machinery::schema::message(SCHEMA);
    let text = machinery::json::to_vec(&eviction);
    let mut eviction = codec::typed(call, expected, message, &text, options.field_validation)?;
    write::fit_namespace(call, kind, &mut eviction)?;
    if meta::name(&eviction) != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut delete = DeleteOptions::from_body(eviction.get("deleteOptions").unwrap_or(&Value::Null))?;
    delete.dry_run |= options.dry_run;
    let operation = Operation::Create;
    let write = Write { operation, kind, body_kind: expected.kind, old: None, dry_run: delete.dry_run };
    access::admit(server, call, &write, &mut eviction).await?;
    access::validate(server, call, &write, &mut eviction).await?;
    let (namespace, name) = (call.info.namespace.clone(), call.info.name.clone());
    let pod = Objects::new(server, kind).get(&namespace, &name).await?.object;
    if !is_free(&pod) {
        spend(server, call, &namespace, &pod, &options).await?;
    }
    delete_object(server, kind, &namespace, &name, &delete).await?;
    let done = Status { code: StatusCode::CREATED.as_u16(), ..Status::success(None) };
    Ok(reply::object(StatusCode::CREATED, &done.to_value(), accepted))
}

/// Whether the pod counts in no budget: it has ended, never started or goes already.
fn is_free(pod: &Value) -> bool {
    let phase = pod.str_at(&["status", "phase"]).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || meta::is_deleting(pod)
}

/// Takes one disruption from the pod's budget, if it has one and it counts.
async fn spend(
    server: &Arc<Server>,
    call: &Call,
    namespace: &str,
    pod: &Value,
    options: &WriteOptions,
) -> Result<(), Status> {
    let Some(kind) = kinds::lookup("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
    let Some(cache) = server.cacher.of(kind) else { return Ok(()) };
    server.cacher.catch_up().await?;
    let items = cache.snapshot(&Selection::all(namespace)).items;
    let budgets: Vec<Value> = items.iter().map(|item| item.value()).filter(|budget| covers(budget, pod)).collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [one] => meta::name(one).to_owned(),
        _ => return Err(Status::unknown(TOO_MANY_BUDGETS)),
    };
    let objects = Objects::new(server, kind);
    loop {
        let Some(stored) = objects.find(namespace, &budget).await? else { return Ok(()) };
        if ignores(&stored.object, pod) {
            return Ok(());
        }
        let mut new = spent(&stored.object, meta::name(pod), &meta::seconds(server.clock.now()))?;
        let options = WriteOptions { field_manager: "kube-apiserver".to_owned(), ..options.clone() };
        ownership::through(server, call, kind, "status", &stored.object, &mut new, &options);
        codec::settle(kind, &mut new);
        if objects.replace(&stored, new, options.dry_run).await?.is_ok() {
            return Ok(());
        }
    }
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = labels::Selector::from_label_selector(budget.at(&["spec", "selector"]));
    selector.is_ok_and(|selector| selector.matches(&meta::labels(pod)))
}

/// Whether a pod that is not ready may go without asking the budget (`unhealthyPodEvictionPolicy`).
fn ignores(budget: &Value, pod: &Value) -> bool {
    let conditions = pod.items_at(&["status", "conditions"]);
    let ready =
        conditions.iter().any(|c| c.str_at(&["type"]) == Some("Ready") && c.str_at(&["status"]) == Some("True"));
    let count = |field: &str| budget.int_at(&["status", field]).unwrap_or(0);
    match budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) {
        _ if ready => false,
        Some("AlwaysAllow") => true,
        _ => count("desiredHealthy") > 0 && count("currentHealthy") >= count("desiredHealthy"),
    }
}

/// The budget with one disruption less.
fn spent(budget: &Value, pod: &str, now: &str) -> Result<Value, Status> {
    let name = meta::name(budget);
    let count = |field: &str| budget.int_at(&["status", field]).unwrap_or(0);
    if count("observedGeneration") < meta::generation(budget) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(too_many(why, RETRY_AFTER_SECONDS));
    }
    let forbidden = |why: &str| Status::forbidden(In { group: "policy", name: "poddisruptionbudget" }, name, why);
    if count("disruptionsAllowed") < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted =
        budget.at(&["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, machinery::Object::len);
    if disrupted > MAX_DISRUPTED_PODS {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if count("disruptionsAllowed") == 0 {
        let (needs, has) = (count("desiredHealthy"), count("currentHealthy"));
        let why = format!("The disruption budget {name} needs {needs} healthy pods and has {has} currently");
        return Err(too_many(why, 0));
    }
    let mut budget = budget.clone();
    let left = count("disruptionsAllowed") - 1;
    budget.set_at(&["status", "disruptionsAllowed"], left);
    budget.set_at(&["status", "disruptedPods", pod], now);
    let (status, reason) = if left > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let condition = value!({
        "type": "DisruptionAllowed",
        "status": status,
        "observedGeneration": (budget.int_at(&["status", "observedGeneration"]).unwrap_or(0)),
        "lastTransitionTime": now,
        "reason": reason,
        "message": "",
    });
    set_condition(&mut budget, condition);
    Ok(budget)
}

fn too_many(why: String, retry_after_seconds: u32) -> Status {
    let cause = Cause { reason: "DisruptionBudget".into(), message: why, field: String::new() };
    let details = Details { causes: vec![cause], retry_after_seconds, ..Details::default() };
    Status::new(429, "TooManyRequests", VIOLATES).with_details(details)
}
