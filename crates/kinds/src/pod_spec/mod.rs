//! The pod spec, shared by pods and everything that has a pod template.

use std::collections::BTreeMap;

use machinery::{Object, Quantity, Text, Value};

pub mod check;
pub mod default;
mod gated;

/// What a pod's containers request together: the larger of all running at once and any single init container.
#[must_use]
pub fn total_requests(spec: &Value) -> BTreeMap<Text, Quantity> {
    totals(spec, "requests")
}

/// The same of the containers' `requests` or `limits`.
#[must_use]
pub fn totals(spec: &Value, list: &str) -> BTreeMap<Text, Quantity> {
    let mut totals = BTreeMap::new();
    for container in spec.items_at(&["containers"]) {
        add(&mut totals, &amounts(container, list));
    }
    let mut sidecars = BTreeMap::new();
    let mut initial = BTreeMap::new();
    for container in spec.items_at(&["initContainers"]) {
        let mut wanted = amounts(container, list);
        if is_sidecar(container) {
            add(&mut totals, &wanted);
            add(&mut sidecars, &wanted);
            wanted = sidecars.clone();
        } else {
            add(&mut wanted, &sidecars);
        }
        raise(&mut initial, &wanted);
    }
    raise(&mut totals, &initial);
    totals
}

/// Whether an init container keeps running beside the others (KEP-753).
#[must_use]
pub fn is_sidecar(container: &Value) -> bool {
    container.str_at(&["restartPolicy"]) == Some("Always")
}

/// The amounts in a container's `requests` or `limits`.
#[must_use]
pub fn amounts(container: &Value, list: &str) -> BTreeMap<Text, Quantity> {
    let members = container.at(&["resources", list]).and_then(Value::as_object).into_iter().flat_map(Object::iter);
    members.filter_map(|(name, amount)| Some((name.clone(), quantity(amount)?))).collect()
}

/// The amount that a value of the tree stands for.
#[must_use]
pub fn quantity(amount: &Value) -> Option<Quantity> {
    match amount {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Int(number) => Some(Quantity::new(*number, machinery::quantity::Format::DecimalSi)),
        Value::Float(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

fn add(totals: &mut BTreeMap<Text, Quantity>, more: &BTreeMap<Text, Quantity>) {
    for (name, amount) in more {
        let total = totals.entry(name.clone()).or_default();
        *total = *total + *amount;
    }
}

fn raise(totals: &mut BTreeMap<Text, Quantity>, least: &BTreeMap<Text, Quantity>) {
    for (name, amount) in least {
        let total = totals.entry(name.clone()).or_insert(*amount);
        *total = (*total).max(*amount);
    }
}
