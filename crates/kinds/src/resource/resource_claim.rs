//! ResourceClaim: devices that a pod waits for, and what it got.

use jiff::Timestamp;
use machinery::field::{Errors, Path};
use machinery::{Value, meta};

use super::{RESOURCE, allocation, claim};
use crate::kind::{Context, Kind, MetadataChecks, STATUS, Subresource, keep, keep_spec};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, text};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ResourceClaim",
    plural: "resourceclaims",
    storage: "resourceclaims",
    schema: "io.k8s.api.resource.v1.ResourceClaim",
    subresources: &[Subresource { prepare: prepare_status, validate: allocation::check, ..STATUS }],
    columns: &[
        NAME,
        text("State", Describe::Text("A summary of the current state (allocated, pending, reserved, etc.).")),
        AGE,
    ],
    row,
    default: |object| object.get_mut("spec").into_iter().for_each(claim::default),
    metadata: MetadataChecks::BOTH,
    validate: |object| claim::check(object.get("spec").unwrap_or(&Value::Null), &Path::new("spec")),
    validate_update: check_update,
    ..RESOURCE
};

fn row(claim: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::name(claim).into(), state(claim).into(), age(claim, now)]
}

fn state(claim: &Value) -> String {
    let deleted = meta::is_deleting(claim);
    let allocated = claim.at(&["status", "allocation"]).is_some_and(|value| !value.is_null());
    let reserved = allocated && !claim.items_at(&["status", "reservedFor"]).is_empty();
    let states =
        [(deleted, "deleted"), (!allocated && !deleted, "pending"), (allocated, "allocated"), (reserved, "reserved")];
    states.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect::<Vec<_>>().join(",")
}

fn prepare_status(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep_spec(new, old);
    for field in ["labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp"] {
        keep(new, old, &["metadata", field]);
    }
    allocation::forget_released(new, old);
}

fn check_update(new: &Value, old: &Value) -> Errors {
    let spec = |claim: &Value| {
        let spec = claim.get("spec").unwrap_or(&Value::Null);
        crate::go_shape::shown("io.k8s.api.resource.v1.ResourceClaimSpec", spec)
    };
    immutable(Some(&spec(new)), Some(&spec(old)), &Path::new("spec")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn states() {
        let allocated = value!({"status": {"allocation": {}, "reservedFor": [{}]}});
        let deleted = value!({"metadata": {"deletionTimestamp": "2020-01-02T03:04:05Z"}});
        assert_eq!(
            [value!({}), allocated, deleted].map(|claim| state(&claim)),
            ["pending", "allocated,reserved", "deleted"]
        );
    }
}
