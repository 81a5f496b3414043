//! ServiceAccount: who a pod is to the API.

use jiff::Timestamp;
use machinery::{Value, meta};

use crate::kind::{BASE, Kind, SUBRESOURCE, Subresource};
use crate::table::{AGE, Describe, NAME, age, text};

const SERVICE_ACCOUNT: &str = "io.k8s.api.core.v1.ServiceAccount";

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
    ..BASE
};

fn row(account: &Value, now: Timestamp) -> Vec<Value> {
    let secrets = i64::try_from(account.items_at(&["secrets"]).len()).unwrap_or(i64::MAX);
    vec![meta::name(account).into(), Value::Int(secrets), age(account, now)]
}

/// Of a reference to a secret only the name counts.
fn clean_secrets(account: &mut Value) {
    let secrets = account.get_mut("secrets").and_then(Value::as_array_mut);
    for fields in secrets.into_iter().flatten().filter_map(Value::as_object_mut) {
        fields.retain(|name, _| name == "name");
    }
}
