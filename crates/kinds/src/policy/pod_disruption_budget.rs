//! PodDisruptionBudget: how many pods may be missing by choice.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::kind::{BASE, Generation, Kind, MetadataChecks, STATUS, Subresource, Writes};
use crate::table::{AGE, Describe, NAME, age, int, integer, text};
use crate::validate::selector::label_selector;
use crate::validate::{at_most_100_percent, conditions, non_negative_at, non_negative_int_or_percent, one_of};

/// The kind.
pub static KIND: Kind = Kind {
    group: "policy",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    short_names: &["pdb"],
    storage: "poddisruptionbudgets",
    schema: "io.k8s.api.policy.v1.PodDisruptionBudget",
    subresources: &[Subresource { validate: |new, _| status(new), ..STATUS }],
    columns: &[
        NAME,
        text("Min Available", Describe::Text("The minimum number of pods that must be available.")),
        text("Max Unavailable", Describe::Text("The maximum number of pods that may be unavailable.")),
        integer("Allowed Disruptions", Describe::Text("Calculated number of pods that may be disrupted at this time.")),
        AGE,
    ],
    row,
    writes: Writes { create_on_update: false, unconditional: false },
    generation: Generation::Of(&["spec"]),
    metadata: MetadataChecks::SHARED,
    validate,
    validate_update: |new, _| validate(new),
    ..BASE
};

fn row(budget: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |field: &str| match budget.at(&["spec", field]) {
        Some(Value::Int(number)) => number.to_string().into(),
        Some(Value::String(percent)) => percent.clone().into(),
        _ => Value::from("N/A"),
    };
    vec![
        meta::name(budget).into(),
        amount("minAvailable"),
        amount("maxUnavailable"),
        int(budget, &["status", "disruptionsAllowed"]),
        age(budget, now),
    ]
}

fn validate(budget: &Value) -> Errors {
    let spec = budget.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let [least, most] = ["minAvailable", "maxUnavailable"].map(|field| spec.get(field).filter(|v| !v.is_null()));
    let mut errors = Errors::new();
    if least.is_some() && most.is_some() {
        let mut shown = Value::object();
        for (name, field) in [
            ("MinAvailable", "minAvailable"),
            ("Selector", "selector"),
            ("MaxUnavailable", "maxUnavailable"),
            ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy"),
        ] {
            shown.set_at(&[name], spec.get(field).cloned().unwrap_or_default());
        }
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.push(Error::invalid(&path, shown, detail));
    }
    for (value, field) in [(least, "minAvailable"), (most, "maxUnavailable")] {
        errors.extend(non_negative_int_or_percent(value, &path.child(field)));
        errors.extend(at_most_100_percent(value, &path.child(field)));
    }
    errors.extend(label_selector(spec.get("selector"), &path.child("selector")));
    let policy = spec.str_at(&["unhealthyPodEvictionPolicy"]);
    let field = path.child("unhealthyPodEvictionPolicy");
    errors.extend(policy.and_then(|p| one_of(p, &["AlwaysAllow", "IfHealthyBudget"], &field)));
    errors
}

fn status(budget: &Value) -> Errors {
    let status = budget.get("status").unwrap_or(&Value::Null);
    let path = Path::new("status");
    let mut errors = conditions::check(status.items_at(&["conditions"]), &path.child("conditions"));
    let fields = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    errors.extend(fields.iter().filter_map(|field| non_negative_at(status, field, &path)));
    errors
}
