//! ServiceAccount: every pod runs as one, and carries its token unless somebody said no (KEP-542, KEP-1205).

use machinery::field::quote;
use machinery::{Status, Value, meta, value};

use super::{Context, MIRROR, Operation, Plugin, Request, mountable_secrets};
use crate::authorization::references::{Kind, of_pod};

/// Where containers find the token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What begins the name of the volume with the token.
const VOLUME_PREFIX: &str = "kube-api-access-";

pub const PLUGIN: Plugin = Plugin { name: "ServiceAccount", admit: Some(admit), validate: Some(validate) };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is("", "pods") || is_mirror(request) {
        return Ok(());
    }
    if account_name(request.object).is_empty() {
        request.object.set_at(&["spec", "serviceAccountName"], "default");
        request.object.set_at(&["spec", "serviceAccount"], "default");
    }
    let account = find_account(request, context)?;
    if wants_token(&account, request.object) {
        mount_token(request.object, &context.random.suffix(5));
    }
    let secrets = account.items_at(&["imagePullSecrets"]);
    if request.object.items_at(&["spec", "imagePullSecrets"]).is_empty() && !secrets.is_empty() {
        request.object.set_at(&["spec", "imagePullSecrets"], secrets.to_vec());
    }
    Ok(())
}

fn validate(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if request.operation == Operation::Update && request.is_part("", "pods", "ephemeralcontainers") {
        return mountable_secrets::of_ephemeral_containers(request, &*account_of(request, context)?);
    }
    if request.operation != Operation::Create || !request.is("", "pods") {
        return Ok(());
    }
    if !is_mirror(request) {
        return mountable_secrets::of_pod(request, &*account_of(request, context)?);
    }
    if !account_name(request.object).is_empty() {
        return Err(request.forbidden("a mirror pod may not reference service accounts"));
    }
    if of_pod(request.object).iter().any(|(kind, _)| *kind == Kind::Secret) {
        return Err(request.forbidden("a mirror pod may not reference secrets"));
    }
    let volumes = request.object.items_at(&["spec", "volumes"]).iter();
    let mut sources = volumes.flat_map(|volume| volume.items_at(&["projected", "sources"]));
    if sources.any(|source| source.get("serviceAccountToken").is_some()) {
        return Err(request.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

fn is_mirror(request: &Request<'_>) -> bool {
    meta::annotation(request.object, MIRROR).is_some()
}

fn account_name(pod: &Value) -> &str {
    pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default()
}

/// The account of a pod, which must name one.
fn account_of(request: &Request<'_>, context: &Context<'_>) -> Result<std::sync::Arc<Value>, Status> {
    if account_name(request.object).is_empty() {
        let (namespace, name) = (request.namespace, meta::name(request.object));
        return Err(request.forbidden(format!("no service account specified for pod {namespace}/{name}")));
    }
    find_account(request, context)
}

fn find_account(request: &Request<'_>, context: &Context<'_>) -> Result<std::sync::Arc<Value>, Status> {
    let (namespace, name) = (request.namespace, account_name(request.object));
    context.objects.get("", "serviceaccounts", namespace, name).ok_or_else(|| {
        let quoted = quote(name);
        request.forbidden(format!(
            "error looking up service account {namespace}/{name}: serviceaccount {quoted} not found"
        ))
    })
}

fn wants_token(account: &Value, pod: &Value) -> bool {
    let said = pod.bool_at(&["spec", "automountServiceAccountToken"]);
    said.or_else(|| account.bool_at(&["automountServiceAccountToken"])).unwrap_or(true)
}

/// Mounts the token into every container that mounts nothing else there, and adds the volume if one needs it.
fn mount_token(pod: &mut Value, suffix: &str) {
    let volumes = pod.items_at(&["spec", "volumes"]).iter().filter_map(|volume| volume.str_at(&["name"]));
    let existing = volumes.into_iter().find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
    let name = existing.clone().unwrap_or_else(|| format!("{VOLUME_PREFIX}{suffix}"));
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            needed |= mount_into(container, &name);
        }
    }
    if needed && existing.is_none() {
        push(pod, &["spec", "volumes"], token_volume(&name));
    }
}

fn mount_into(container: &mut Value, volume: &str) -> bool {
    let mut mounts = container.items_at(&["volumeMounts"]).iter();
    if mounts.any(|mount| mount.str_at(&["mountPath"]) == Some(MOUNT_PATH)) {
        return false;
    }
    push(container, &["volumeMounts"], value!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
    true
}

fn token_volume(name: &str) -> Value {
    value!({
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                ]}}
            ],
            "defaultMode": 420
        }
    })
}

fn push(object: &mut Value, path: &[&str], item: Value) {
    match object.at_mut(path).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => object.set_at(path, vec![item]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    fn make(mut pod: Value) -> String {
        let user = User::anonymous();
        let account = |name: &str| value!({"metadata": {"namespace": "ns", "name": name}, "imagePullSecrets": [{"name": "pull"}]});
        let mut silent = account("silent");
        silent.set_at(&["automountServiceAccountToken"], false);
        let objects =
            Objects::default().with("", "serviceaccounts", account("default")).with("", "serviceaccounts", silent);
        ask(&PLUGIN, &mut request(Operation::Create, ("", "pods"), &mut pod, None, &user), &objects)
    }

    #[test]
    fn pods() {
        let shown = [
            make(
                value!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}, {"name": "d", "volumeMounts": [{"name": "x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}]}}),
            ),
            make(
                value!({"metadata": {"name": "a"}, "spec": {"serviceAccountName": "silent", "containers": [{"name": "c"}]}}),
            ),
            make(value!({"metadata": {"name": "a"}, "spec": {"serviceAccountName": "nope"}})),
            make(
                value!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {"containers": [{"name": "c"}]}}),
            ),
            make(
                value!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {"serviceAccountName": "default"}}),
            ),
            make(
                value!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {"volumes": [{"secret": {"secretName": "s"}}]}}),
            ),
        ];
        expect_test::expect![[r#"
            {"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","volumeMounts":[{"name":"kube-api-access-594xh","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]},{"name":"d","volumeMounts":[{"name":"x","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}],"serviceAccountName":"default","serviceAccount":"default","volumes":[{"name":"kube-api-access-594xh","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},{"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}],"defaultMode":420}}],"imagePullSecrets":[{"name":"pull"}]}}
            {"metadata":{"name":"a"},"spec":{"serviceAccountName":"silent","containers":[{"name":"c"}],"imagePullSecrets":[{"name":"pull"}]}}
            403 pods "a" is forbidden: error looking up service account ns/nope: serviceaccount "nope" not found
            {"metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"}},"spec":{"containers":[{"name":"c"}]}}
            403 pods "m" is forbidden: a mirror pod may not reference service accounts
            403 pods "m" is forbidden: a mirror pod may not reference secrets"#]].assert_eq(&shown.join("\n"));
    }
}
