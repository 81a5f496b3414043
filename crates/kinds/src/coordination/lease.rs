//! Lease: who holds something, and since when.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::kind::{BASE, Kind, Writes};
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::non_negative_at;

/// What candidates for a lease agree on (KEP-4355), which is not on by default.
const COORDINATED: [&str; 2] = ["strategy", "preferredHolder"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    storage: "leases",
    schema: "io.k8s.api.coordination.v1.Lease",
    columns: &[NAME, text("Holder", Describe::Field("io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity")), AGE],
    row,
    writes: Writes { create_on_update: true, unconditional: false },
    prepare_create: |lease, _| {
        for field in COORDINATED {
            lease.remove_at(&["spec", field]);
        }
    },
    prepare_update: |new, old, _| {
        for field in COORDINATED.into_iter().filter(|field| old.at(&["spec", field]).is_none()) {
            new.remove_at(&["spec", field]);
        }
    },
    validate: check,
    validate_update: |new, _| check(new),
    ..BASE
};

fn row(lease: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::name(lease).into(), str(lease, &["spec", "holderIdentity"]), age(lease, now)]
}

fn check(lease: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let Some(spec) = lease.get("spec") else { return errors };
    if let Some(seconds) = spec.int_at(&["leaseDurationSeconds"]).filter(|seconds| *seconds <= 0) {
        errors.push(Error::invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    errors.extend(non_negative_at(spec, "leaseTransitions", &path));
    let (strategy, preferred) = (spec.str_at(&["strategy"]), spec.str_at(&["preferredHolder"]));
    match strategy {
        // Custom strategies are qualified names; the bare ones are upstream's own.
        Some("OldestEmulationVersion") | None => {}
        Some(name) if name.contains('/') => {
            let messages = machinery::names::is_qualified_name(name);
            errors.extend(messages.into_iter().map(|m| Error::invalid(&path.child("strategy"), name, m)));
        }
        Some(name) => errors.push(Error::not_supported(&path.child("strategy"), name, &["OldestEmulationVersion"])),
    }
    if preferred.is_some_and(|name| !name.is_empty()) && strategy.is_none_or(str::is_empty) {
        let detail = "may only be specified when `strategy` is defined";
        errors.push(Error::forbidden(&path.child("preferredHolder"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn numbers() {
        let lease = value!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": (-1)}});
        expect_test::expect!["[spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0]"]
            .assert_eq(&field::aggregate(&check(&lease)));
    }
}
