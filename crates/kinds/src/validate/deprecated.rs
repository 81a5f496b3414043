//! Warnings about what still works but has a better way today: node labels with new names, fractions of bytes,
//! annotations that became fields.

use machinery::Value;
use machinery::field::{Path, quote};

use super::metadata::sorted;
use crate::core::pod::warnings::renamed;
use crate::pod_spec::quantity;

/// Where the storage class stood before it became a field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The warnings about the expressions of a node selector term or a label selector.
#[must_use]
pub fn expressions(selector: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, expression) in selector.items_at(&["matchExpressions"]).iter().enumerate() {
        let key = expression.str_at(&["key"]).unwrap_or_default();
        let place = path.child("matchExpressions").index(i).child("key");
        warnings.extend(renamed(key).map(|advice| format!("{place}: {key} is {advice}")));
    }
    warnings
}

/// The warnings about a selector of nodes by labels.
#[must_use]
pub fn label_selector(selector: &Value, path: &Path) -> Vec<String> {
    let mut warnings = expressions(selector, path);
    for (label, _) in sorted(selector.get("matchLabels").and_then(Value::as_object)) {
        let place = path.child("matchLabels").child(label);
        warnings.extend(renamed(label).map(|advice| format!("{place}: {advice}")));
    }
    warnings
}

/// The warning about a label that has a new name, at the place where it is used.
#[must_use]
pub fn label(key: &str, path: &Path) -> Option<String> {
    renamed(key).map(|advice| format!("{path}: {advice}"))
}

/// The warning about a volume or claim that names its class in an annotation.
#[must_use]
pub fn class_annotation(object: &Value) -> Option<String> {
    machinery::meta::annotation(object, BETA_CLASS)?;
    let place = Path::new("metadata.annotations").key(BETA_CLASS);
    Some(format!("{place}: deprecated since v1.8; use \"storageClassName\" attribute instead"))
}

/// The class of a volume or claim: its old annotation says it before its field does.
#[must_use]
pub fn class(object: &Value) -> Value {
    let annotation = machinery::meta::annotation(object, BETA_CLASS);
    annotation.or_else(|| object.str_at(&["spec", "storageClassName"])).unwrap_or_default().into()
}

/// The warnings about a claim's spec.
#[must_use]
pub fn claim_spec(spec: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for list in ["requests", "limits"] {
        let amount = spec.at(&["resources", list, "storage"]).and_then(quantity);
        if let Some(amount) = amount.filter(|amount| !amount.is_whole()) {
            let place = path.child("resources").child(list).key("storage");
            let shown = quote(&amount.to_string());
            warnings.push(format!("{place}: fractional byte value {shown} is invalid, must be an integer"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn old_ways() {
        let selector = value!({"matchExpressions": [{"key": "beta.kubernetes.io/os"}, {"key": "x"}],
            "matchLabels": {"failure-domain.beta.kubernetes.io/zone": "a"}});
        let claim = value!({"resources": {"requests": {"storage": "1.5"}}});
        let volume = value!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}});
        let mut shown = label_selector(&selector, &Path::new("s"));
        shown.extend(claim_spec(&claim, &Path::new("spec")));
        shown.extend(class_annotation(&volume));
        expect_test::expect![[r#"
            s.matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead
            s.matchLabels.failure-domain.beta.kubernetes.io/zone: deprecated since v1.17; use "topology.kubernetes.io/zone" instead
            spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer
            metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead"#]].assert_eq(&shown.join("\n"));
    }
}
