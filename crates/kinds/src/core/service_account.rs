//! ServiceAccount: who a pod is to the API.

use jiff::Timestamp;
use machinery::{Value, meta};

use crate::kind::{BASE, Kind, MetadataChecks, SUBRESOURCE, Subresource};
use crate::table::{AGE, Describe, NAME, age, text};

const SERVICE_ACCOUNT: &str = "io.k8s.api.core.v1.ServiceAccount";

const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    short_names: &["sa"],
    storage: "serviceaccounts",
    schema: SERVICE_ACCOUNT,
    subresources: &[Subresource {
        name: "token",
        body: ("authentication.k8s.io", "v1", "TokenRequest"),
        verbs: &["create"],
        ..SUBRESOURCE
    }],
    columns: &[NAME, text("Secrets", Describe::Field(SERVICE_ACCOUNT, "secrets")), AGE],
    row,
    prepare_create: |account, _| clean_secrets(account),
    prepare_update: |new, _, _| clean_secrets(new),
    warnings,
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(account: &Value, now: Timestamp) -> Vec<Value> {
    let secrets = i64::try_from(account.items_at(&["secrets"]).len()).unwrap_or(i64::MAX);
    vec![meta::name(account).into(), Value::Int(secrets), age(account, now)]
}

/// The annotation that binds pods to the secrets of their account is not for new use.
fn warnings(account: &Value, old: Option<&Value>) -> Vec<String> {
    let has = |account: &Value| meta::annotation(account, ENFORCE).is_some();
    if !has(account) || old.is_some_and(has) {
        return Vec::new();
    }
    let advice = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    vec![format!("metadata.annotations[{ENFORCE}]: {advice}")]
}

/// Of a reference to a secret only the name counts.
fn clean_secrets(account: &mut Value) {
    let secrets = account.get_mut("secrets").and_then(Value::as_array_mut);
    for fields in secrets.into_iter().flatten().filter_map(Value::as_object_mut) {
        fields.retain(|name, _| name == "name");
    }
}
