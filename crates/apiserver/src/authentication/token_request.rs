//! The subresource `token` of a service account: a fresh token on request (KEP-1205).

use base::{Clock, Random};
use machinery::field::{Error, Errors, Path, quote};
use machinery::status::In;
use machinery::{Status, Value, meta};

use super::service_account::{Binding, Order, Tokens};
use crate::admission::Lister;

const SHORTEST_SECONDS: i64 = 600;
const LONGEST_SECONDS: i64 = 1 << 32;
/// The lifetime of a token of which nobody says how long it lives.
pub const DEFAULT_SECONDS: i64 = 3600;
/// The lifetime that the mounted token of a pod asks for. Clients that do not read it anew keep working for
/// [`EXTENDED_SECONDS`], with a warning.
const MOUNTED_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Answers `request` for the service account `namespace/name`. `admit` runs admission once the request is complete.
///
/// # Errors
/// The answer to give when there is no such account, the request is wrong, admission refuses, or what the token is to
/// be bound to is not there.
pub fn answer(
    tokens: &Tokens,
    objects: &dyn Lister,
    (clock, random): (&Clock, &Random),
    (namespace, name): (&str, &str),
    mut request: Value,
    admit: impl FnOnce(&mut Value) -> Result<(), Status>,
) -> Result<Value, Status> {
    let kind = In { group: "authentication.k8s.io", name: "TokenRequest" };
    let given = meta::name(&request);
    if !given.is_empty() && given != name {
        let detail = "must match the service account name if specified";
        return Err(Status::invalid(kind, name, &vec![Error::invalid(&Path::new("metadata.name"), given, detail)]));
    }
    let account = find(objects, "serviceaccounts", namespace, name)?;
    let now = clock.now();
    complete(&mut request, &account, &tokens.audiences)?;
    meta::set_creation_timestamp(&mut request, now);
    let errors = validate(&request);
    if !errors.is_empty() {
        return Err(Status::invalid(kind, "", &errors));
    }
    admit(&mut request)?;
    let binding = bind(objects, namespace, name, &request)?;
    let audiences = texts(request.items_at(&["spec", "audiences"]));
    let asked = request.int_at(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECONDS);
    let extended = binding.pod.is_some()
        && asked == MOUNTED_SECONDS
        && audiences.iter().all(|audience| tokens.audiences.contains(audience));
    let order = Order {
        service_account: &account,
        audiences: &audiences,
        binding: &binding,
        now,
        lifetime_seconds: if extended { EXTENDED_SECONDS } else { asked },
        warn_after_seconds: extended.then_some(asked),
        id: random.uuid(),
    };
    request.set_at(&["status", "token"], tokens.issue(&order));
    let expires = now + jiff::SignedDuration::from_secs(asked);
    request.set_at(&["status", "expirationTimestamp"], meta::seconds(expires));
    Ok(request)
}

/// Fills in what the request leaves to the server.
fn complete(request: &mut Value, account: &Value, audiences: &[String]) -> Result<(), Status> {
    let uid = meta::uid(request).to_owned();
    if !uid.is_empty() && uid != meta::uid(account) {
        let why = format!(
            "the UID in the token request ({uid}) does not match the UID of the service account ({})",
            meta::uid(account)
        );
        let kind = In { group: "authentication.k8s.io", name: "TokenRequest" };
        return Err(Status::conflict(kind, meta::name(account), why));
    }
    if request.items_at(&["spec", "audiences"]).is_empty() {
        request.set_at(&["spec", "audiences"], audiences.to_vec());
    }
    if request.int_at(&["spec", "expirationSeconds"]).is_none() {
        request.set_at(&["spec", "expirationSeconds"], DEFAULT_SECONDS);
    }
    if request.at(&["spec", "boundObjectRef"]).is_none() {
        request.set_at(&["spec", "boundObjectRef"], Value::Null);
    }
    for (field, value) in
        [("name", meta::name(account)), ("namespace", meta::namespace(account)), ("uid", meta::uid(account))]
    {
        if request.str_at(&["metadata", field]).is_none_or(str::is_empty) {
            request.set_at(&["metadata", field], value);
        }
    }
    request.remove_at(&["status"]);
    Ok(())
}

fn validate(request: &Value) -> Errors {
    let field = Path::new("spec").child("expirationSeconds");
    let seconds = request.int_at(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECONDS);
    let mut errors = Errors::new();
    if seconds < SHORTEST_SECONDS {
        errors.push(Error::invalid(&field, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > LONGEST_SECONDS {
        errors.push(Error::invalid(&field, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    errors
}

fn bind(objects: &dyn Lister, namespace: &str, account: &str, request: &Value) -> Result<Binding, Status> {
    let mut binding = Binding::default();
    let Some(reference) = request.at(&["spec", "boundObjectRef"]).filter(|reference| !reference.is_null()) else {
        return Ok(binding);
    };
    let text = |field: &str| reference.str_at(&[field]).unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let known = |object: &Value| Some((meta::name(object).to_owned(), meta::uid(object).to_owned()));
    let object = match (group, text("kind")) {
        ("", "Pod") => {
            let pod = find(objects, "pods", namespace, text("name"))?;
            if pod.str_at(&["spec", "serviceAccountName"]) != Some(account) {
                let quoted = quote(account);
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {quoted} to pod running with different serviceaccount name."
                )));
            }
            (binding.pod, binding.node) = (known(&pod), node_of(objects, &pod));
            pod
        }
        ("", "Node") => {
            let node = find(objects, "nodes", "", text("name"))?;
            binding.node = known(&node);
            node
        }
        ("", "Secret") => {
            let secret = find(objects, "secrets", namespace, text("name"))?;
            binding.secret = known(&secret);
            secret
        }
        (group, kind) => {
            let message = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(message));
        }
    };
    let uid = text("uid");
    if !uid.is_empty() && uid != meta::uid(&object) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(In { group, name: text("kind") }, text("name"), why));
    }
    Ok(binding)
}

/// The node of a pod; its name alone when there is no such node.
fn node_of(objects: &dyn Lister, pod: &Value) -> Option<(String, String)> {
    let name = pod.str_at(&["spec", "nodeName"]).filter(|name| !name.is_empty())?;
    let node = objects.get("", "nodes", "", name);
    Some((name.to_owned(), node.map_or_else(String::new, |node| meta::uid(&node).to_owned())))
}

fn find(objects: &dyn Lister, resource: &str, namespace: &str, name: &str) -> Result<std::sync::Arc<Value>, Status> {
    objects.get("", resource, namespace, name).ok_or_else(|| Status::not_found(In { group: "", name: resource }, name))
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use machinery::{json, value};

    use super::*;
    use crate::admission::Objects;
    use crate::authentication::jwt::{SigningKey, unchecked_claims};

    fn ask(name: &str, spec: Value) -> String {
        answer_to(name, value!({"spec": spec}))
    }

    fn answer_to(name: &str, request: Value) -> String {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let signing = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let us = vec!["https://us".to_owned()];
        let tokens = Tokens {
            issuers: us.clone(),
            audiences: us,
            verifying: vec![signing.public().clone()],
            signing,
            counts: crate::authentication::TokenCounts::default(),
        };
        let objects = Objects::default()
            .with("", "serviceaccounts", value!({"metadata": {"namespace": "a", "name": "default", "uid": "u1"}}))
            .with("", "pods", value!({"metadata": {"namespace": "a", "name": "p", "uid": "u2"}, "spec": {"serviceAccountName": "default", "nodeName": "n"}}))
            .with("", "pods", value!({"metadata": {"namespace": "a", "name": "q", "uid": "u3"}, "spec": {"serviceAccountName": "other"}}));
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let answered = answer(&tokens, &objects, (&clock, &Random::seeded(1)), ("a", name), request, |_| Ok(()));
        match answered {
            Err(status) => format!("{} {}", status.code, status.message),
            Ok(mut request) => {
                let token = request.remove_at(&["status", "token"]).unwrap();
                let mut claims = unchecked_claims(token.as_str().unwrap()).unwrap();
                claims.remove_at(&["jti"]);
                format!("{}\n  {}", json::to_string(&request), json::to_string(&claims))
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers() {
        let pod = |name: &str, uid: &str| value!({"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid});
        let shown = [
            ask("default", value!({})),
            ask("default", value!({"expirationSeconds": 3607, "boundObjectRef": (pod("p", "u2"))})),
            ask("default", value!({"expirationSeconds": 5})),
            ask("default", value!({"boundObjectRef": (pod("zz", ""))})),
            ask("default", value!({"boundObjectRef": (pod("q", ""))})),
            ask("default", value!({"boundObjectRef": (pod("p", "old"))})),
            ask("default", value!({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "zz"}})),
            ask("zz", value!({})),
            answer_to("default", value!({"metadata": {"name": "zz"}})),
        ];
        expect_test::expect![[r#"
            {"spec":{"audiences":["https://us"],"expirationSeconds":3600,"boundObjectRef":null},"metadata":{"name":"default","namespace":"a","uid":"u1","creationTimestamp":"2026-01-01T00:00:00Z"},"status":{"expirationTimestamp":"2026-01-01T01:00:00Z"}}
              {"aud":["https://us"],"exp":1767229200,"iat":1767225600,"iss":"https://us","kubernetes.io":{"namespace":"a","serviceaccount":{"name":"default","uid":"u1"}},"nbf":1767225600,"sub":"system:serviceaccount:a:default"}
            {"spec":{"expirationSeconds":3607,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p","uid":"u2"},"audiences":["https://us"]},"metadata":{"name":"default","namespace":"a","uid":"u1","creationTimestamp":"2026-01-01T00:00:00Z"},"status":{"expirationTimestamp":"2026-01-01T01:00:07Z"}}
              {"aud":["https://us"],"exp":1798761600,"iat":1767225600,"iss":"https://us","kubernetes.io":{"namespace":"a","node":{"name":"n"},"pod":{"name":"p","uid":"u2"},"serviceaccount":{"name":"default","uid":"u1"},"warnafter":1767229207},"nbf":1767225600,"sub":"system:serviceaccount:a:default"}
            422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes
            404 pods "zz" not found
            400 cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.
            409 Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated
            400 cannot bind token to object of type /v1, Kind=ConfigMap
            404 serviceaccounts "zz" not found
            422 TokenRequest.authentication.k8s.io "default" is invalid: metadata.name: Invalid value: "zz": must match the service account name if specified"#]].assert_eq(&shown.join("\n"));
    }
}
