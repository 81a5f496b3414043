//! ClusterRole: what may be done everywhere, or in any namespace where it is bound.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::{RBAC, rule};
use crate::kind::Kind;
use crate::validate::selector::label_selector;

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ClusterRole",
    plural: "clusterroles",
    namespaced: false,
    storage: "clusterroles",
    schema: "io.k8s.api.rbac.v1.ClusterRole",
    validate: check,
    validate_update: |new, _| check(new),
    ..RBAC
};

fn check(role: &Value) -> Errors {
    let mut errors = rule::check(role, false);
    if role.get("aggregationRule").is_some() {
        let path = Path::new("aggregationRule.clusterRoleSelectors");
        let selectors = role.items_at(&["aggregationRule", "clusterRoleSelectors"]);
        if selectors.is_empty() {
            let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(Error::required(&path, detail));
        }
        for (i, selector) in selectors.iter().enumerate() {
            errors.extend(label_selector(Some(selector), &path.index(i)));
            if machinery::labels::Selector::from_label_selector(Some(selector)).is_err() {
                errors.push(Error::invalid(&path.index(i), Value::Null, "invalid label selector."));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn aggregation() {
        let role = value!({"aggregationRule": {"clusterRoleSelectors": []}});
        expect_test::expect!["aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"]
            .assert_eq(&field::aggregate(&check(&role)));
        let role = value!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
        assert!(check(&role).is_empty());
    }
}
