//! What is wrong with the rules of a role.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

/// Checks every rule; those of a namespace's role cannot speak of paths.
pub(super) fn check(role: &Value, namespaced: bool) -> Errors {
    let path = Path::new("rules");
    let rules = role.items_at(&["rules"]).iter().enumerate();
    rules.flat_map(|(i, rule)| check_one(rule, namespaced, &path.index(i))).collect()
}

fn check_one(rule: &Value, namespaced: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let has = |field: &str| !rule.items_at(&[field]).is_empty();
    if !has("verbs") {
        errors.push(Error::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    if has("nonResourceURLs") {
        let path = path.child("nonResourceURLs");
        let mut wrong =
            |detail: &str| errors.push(Error::invalid(&path, rule.items_at(&["nonResourceURLs"]).to_vec(), detail));
        if namespaced {
            wrong("namespaced rules cannot apply to non-resource URLs");
        }
        if has("apiGroups") || has("resources") || has("resourceNames") {
            wrong("rules cannot apply to both regular resources and non-resource URLs");
        }
        return errors;
    }
    if !has("apiGroups") {
        errors.push(Error::required(&path.child("apiGroups"), "resource rules must supply at least one api group"));
    }
    if !has("resources") {
        errors.push(Error::required(&path.child("resources"), "resource rules must supply at least one resource"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn rules() {
        let role = value!({"rules": [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]}, {}]});
        expect_test::expect![[r#"[rules[1].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs, rules[1].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs, rules[2].verbs: Required value: verbs must contain at least one value, rules[2].apiGroups: Required value: resource rules must supply at least one api group, rules[2].resources: Required value: resource rules must supply at least one resource]"#]]
        .assert_eq(&field::aggregate(&check(&role, true)));
    }
}
