//! VolumeAttributesClass: what can be changed of a volume while it is used (KEP-3751).

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use super::storage_class::{parameters, provisioner};
use crate::kind::{BASE, Kind, MetadataChecks};
use crate::table::{AGE, Describe, NAME, age, str, text};

const CLASS: &str = "io.k8s.api.storage.v1.VolumeAttributesClass";
const IS_DEFAULT: &str = "volumeattributesclass.alpha.kubernetes.io/is-default-class";

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    kind: "VolumeAttributesClass",
    plural: "volumeattributesclasses",
    short_names: &["vac"],
    namespaced: false,
    storage: "volumeattributesclasses",
    schema: CLASS,
    columns: &[NAME, text("DriverName", Describe::Field(CLASS, "driverName")), AGE],
    row: |class, now| vec![shown_name(class).into(), str(class, &["driverName"]), age(class, now)],
    metadata: MetadataChecks::BOTH,
    validate,
    validate_update: |new, old| {
        let mut errors = Errors::new();
        for field in ["driverName", "parameters"] {
            if new.get(field) != old.get(field) {
                errors.push(Error::forbidden(&Path::new(field), format!("updates to {field} are forbidden.")));
            }
        }
        errors.extend(validate(new));
        errors
    },
    ..BASE
};

/// The name, and whether claims without a class get this one.
fn shown_name(class: &Value) -> String {
    let is_default = meta::annotation(class, IS_DEFAULT) == Some("true");
    format!("{}{}", meta::name(class), if is_default { " (default)" } else { "" })
}

fn validate(class: &Value) -> Errors {
    let mut errors = provisioner(class.str_at(&["driverName"]).unwrap_or_default(), &Path::new("driverName"));
    let all = class.get("parameters").and_then(Value::as_object);
    let limits = parameters(all);
    let too_many = limits.iter().any(|error| error.kind == machinery::field::ErrorType::TooLong && all.is_some());
    errors.extend(limits);
    if !too_many && all.is_none_or(machinery::Object::is_empty) {
        errors.push(Error::required(&Path::new("parameters"), "must contain at least one key/value pair"));
    }
    errors
}
