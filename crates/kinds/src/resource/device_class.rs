//! DeviceClass: a name for devices of a sort, with their configuration.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use super::claim::{MAX_ITEMS, configuration, selectors};
use super::{RESOURCE, check_list};
use crate::kind::{Generation, Kind, MetadataChecks};
use crate::table::{AGE, NAME, age};
use crate::validate::resources::is_extended;

/// The kind.
pub static KIND: Kind = Kind {
    kind: "DeviceClass",
    plural: "deviceclasses",
    namespaced: false,
    storage: "deviceclasses",
    schema: "io.k8s.api.resource.v1.DeviceClass",
    columns: &[NAME, AGE],
    row: |class, now| vec![meta::name(class).into(), age(class, now)],
    generation: Generation::Of(&["spec"]),
    metadata: MetadataChecks::BOTH,
    validate: |class| check(class, &Value::Null),
    validate_update: check,
    ..RESOURCE
};

/// What is wrong with a class; lists that did not change are left alone.
fn check(class: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let changed = |field: &str| class.at(&["spec", field]) != old.at(&["spec", field]);
    let mut errors = Errors::new();
    if changed("selectors") {
        errors.extend(selectors(class.items_at(&["spec", "selectors"]), &path.child("selectors")));
    }
    if changed("config") {
        let all = class.items_at(&["spec", "config"]);
        errors.extend(check_list(all, MAX_ITEMS, &path.child("config"), configuration));
    }
    if let Some(name) = class.str_at(&["spec", "extendedResourceName"]).filter(|name| !is_extended(name)) {
        let detail = "must be a valid extended resource name";
        errors.push(Error::invalid(&path.child("extendedResourceName"), name, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn classes() {
        let class = value!({"spec": {"selectors": [{}], "config": [{"opaque": {"driver": "d"}}], "extendedResourceName": "cpu"}});
        expect_test::expect![[r#"[spec.selectors[0].cel: Required value, spec.config[0].opaque.parameters: Required value, spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name]"#]]
        .assert_eq(&field::aggregate(&check(&class, &Value::Null)));
    }
}
