//! IngressClass: who serves the Ingresses of a class.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Generation, Kind};
use crate::pod_spec::default::set_absent;
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::{domain_prefixed_path, one_of};

const MAX_CONTROLLER_BYTES: usize = 250;

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    kind: "IngressClass",
    plural: "ingressclasses",
    namespaced: false,
    storage: "ingressclasses",
    schema: "io.k8s.api.networking.v1.IngressClass",
    columns: &[
        NAME,
        text("Controller", Describe::Text("Controller that is responsible for handling this class")),
        text("Parameters", Describe::Text("A reference to a resource with additional parameters")),
        AGE,
    ],
    row,
    generation: Generation::Of(&["spec"]),
    default: |class| set_absent(class, &["spec", "parameters"], "scope", || "Cluster".into()),
    validate,
    validate_update: |new, old| {
        let mut errors = validate(new);
        let field = ["spec", "controller"];
        errors.extend(immutable(new.at(&field), old.at(&field), &Path::new("spec.controller")));
        errors
    },
    ..BASE
};

fn row(class: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = class.at(&["spec", "parameters"]).filter(|parameters| !parameters.is_null()).map(|parameters| {
        let part = |field: &str| parameters.str_at(&[field]).unwrap_or_default();
        let group = part("apiGroup");
        let dot = if group.is_empty() { "" } else { "." };
        format!("{}{dot}{group}/{}", part("kind"), part("name"))
    });
    vec![
        meta::name(class).into(),
        str(class, &["spec", "controller"]),
        parameters.unwrap_or_else(|| "<none>".to_owned()).into(),
        age(class, now),
    ]
}

fn validate(class: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = controller(class.str_at(&["spec", "controller"]).unwrap_or_default(), &path.child("controller"));
    if let Some(parameters) = class.at(&["spec", "parameters"]).filter(|parameters| !parameters.is_null()) {
        errors.extend(self::parameters(parameters, &path.child("parameters")));
    }
    errors
}

fn controller(controller: &str, path: &Path) -> Errors {
    let long = controller.len() > MAX_CONTROLLER_BYTES;
    let mut errors: Errors = long.then(|| Error::too_long(path, MAX_CONTROLLER_BYTES)).into_iter().collect();
    errors.extend(domain_prefixed_path(controller, path));
    errors
}

fn parameters(parameters: &Value, path: &Path) -> Errors {
    let part = |field: &str| parameters.str_at(&[field]).unwrap_or_default();
    let mut errors = Errors::new();
    if let Some(group) = parameters.str_at(&["apiGroup"]) {
        errors.extend(crate::validate::text(names::is_dns1123_subdomain, group, &path.child("apiGroup")));
    }
    for field in ["kind", "name"] {
        match part(field) {
            "" => errors.push(Error::required(&path.child(field), "")),
            name => errors.extend(crate::validate::text(names::is_path_segment_name, name, &path.child(field))),
        }
    }
    let namespace = path.child("namespace");
    let Some(scope) = parameters.str_at(&["scope"]) else {
        errors.push(Error::required(&path.child("scope"), ""));
        return errors;
    };
    match (scope, parameters.str_at(&["namespace"])) {
        ("Namespace", None) => errors.push(Error::required(&namespace, "`parameters.scope` is set to 'Namespace'")),
        ("Namespace", Some(name)) => errors.extend(crate::validate::text(names::is_dns1123_label, name, &namespace)),
        ("Cluster", None) => {}
        ("Cluster", Some(_)) => errors.push(Error::forbidden(&namespace, "`parameters.scope` is set to 'Cluster'")),
        (scope, _) => errors.extend(one_of(scope, &["Cluster", "Namespace"], &path.child("scope"))),
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn parameters_are_where_their_scope_says() {
        let of = |mut fields: Value| {
            fields.set_at(&["kind"], "K");
            fields.set_at(&["name"], "n");
            field::aggregate(&parameters(&fields, &Path::new("p")))
        };
        let shown = [
            of(value!({"scope": "Cluster"})),
            of(value!({})),
            of(value!({"scope": ""})),
            of(value!({"scope": "Namespace"})),
            of(value!({"scope": "Cluster", "namespace": "", "apiGroup": "g"})),
        ];
        expect_test::expect![[r#"
            []
            p.scope: Required value
            p.scope: Unsupported value: "": supported values: "Cluster", "Namespace"
            p.namespace: Required value: `parameters.scope` is set to 'Namespace'
            p.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"#]]
        .assert_eq(&shown.join("\n"));
    }
}
