//! The flowcontrol.apiserver.k8s.io group, v1: who waits when the server has much to do (KEP-1040).

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use crate::kind::BASE;
use crate::{Kind, Subresource};

pub mod flow_schema;
pub mod priority_level_configuration;
mod subject;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&flow_schema::KIND, &priority_level_configuration::KIND];

/// What the group's kinds share.
const FLOW_CONTROL: Kind = Kind {
    group: "flowcontrol.apiserver.k8s.io",
    namespaced: false,
    generation: crate::Generation::Of(&["spec"]),
    ..BASE
};

/// The status of the group's kinds: a write changes nothing else, not even labels.
const STATUS: Subresource = Subresource {
    prepare: |new, old, _| {
        crate::kind::keep_spec(new, old);
        for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
            crate::kind::keep(new, old, &["metadata", field]);
        }
    },
    validate: |new, _| check_status(new),
    ..crate::kind::STATUS
};

/// What is wrong with the conditions of a status.
fn check_status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let all = object.items_at(&["status", "conditions"]);
    for (i, condition) in all.iter().enumerate() {
        let path = Path::new("status.conditions").index(i).child("type");
        let kind = condition.str_at(&["type"]).unwrap_or_default();
        if all[..i].iter().any(|other| other.str_at(&["type"]).unwrap_or_default() == kind) {
            errors.push(Error::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(Error::required(&path, "must not be empty"));
        }
    }
    errors
}

/// What is wrong with an object that must be as the server makes it.
fn check_fixed(object: &Value, schema: &str, fixed: &[(&str, Value)]) -> Option<Error> {
    let name = machinery::meta::name(object);
    let (_, wanted) = fixed.iter().find(|(known, _)| *known == name)?;
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let detail = format!("spec of '{name}' must equal the fixed value");
    let shown = |spec: &Value| crate::go_shape::shown(schema, spec);
    (shown(spec) != shown(wanted)).then(|| Error::invalid(&Path::new("spec"), shown(spec), detail))
}
