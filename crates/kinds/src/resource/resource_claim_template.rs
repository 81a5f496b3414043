//! ResourceClaimTemplate: what the claims look like that are made for pods.

use machinery::field::{Errors, Path};
use machinery::{Value, meta};

use super::{RESOURCE, claim};
use crate::kind::Kind;
use crate::strategy::immutable;
use crate::table::{AGE, NAME, age};
use crate::validate::metadata::{annotations, labels};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ResourceClaimTemplate",
    plural: "resourceclaimtemplates",
    storage: "resourceclaimtemplates",
    schema: "io.k8s.api.resource.v1.ResourceClaimTemplate",
    columns: &[NAME, AGE],
    row: |template, now| vec![meta::name(template).into(), age(template, now)],
    default: |template| template.at_mut(&["spec", "spec"]).into_iter().for_each(claim::default),
    validate: check,
    validate_update: check_update,
    ..RESOURCE
};

fn check(template: &Value) -> Errors {
    let path = Path::new("spec");
    let part = |field: &str| template.at(&["spec", "metadata", field]).and_then(Value::as_object);
    let metadata = path.child("metadata");
    let mut errors = annotations(part("annotations"), &metadata.child("annotations"));
    errors.extend(labels(part("labels"), &metadata.child("labels")));
    let spec = template.at(&["spec", "spec"]).unwrap_or(&Value::Null);
    errors.extend(claim::check(spec, &path.child("spec")));
    errors
}

fn check_update(new: &Value, old: &Value) -> Errors {
    let spec = |template: &Value| {
        let spec = template.get("spec").unwrap_or(&Value::Null);
        crate::go_shape::shown("io.k8s.api.resource.v1.ResourceClaimTemplateSpec", spec)
    };
    immutable(Some(&spec(new)), Some(&spec(old)), &Path::new("spec")).into_iter().collect()
}
