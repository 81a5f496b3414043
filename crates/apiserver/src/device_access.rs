//! Access to devices that others use, for administrators: only claims of labelled namespaces ask for it (KEP-5018).

use kinds::Kind;
use machinery::Value;
use machinery::field::{Error, Path};

use crate::admission::Lister;

const LABEL: &str = "resource.kubernetes.io/admin-access";

/// What is wrong with a new claim, or template of one, that asks for such access.
pub fn check_wish(objects: &dyn Lister, kind: &Kind, object: &Value) -> Option<Error> {
    let spec = match (kind.group, kind.plural) {
        ("resource.k8s.io", "resourceclaims") => object.get("spec")?,
        ("resource.k8s.io", "resourceclaimtemplates") => object.at(&["spec", "spec"])?,
        _ => return None,
    };
    let requests = spec.items_at(&["devices", "requests"]);
    let asks = |request: &Value| request.bool_at(&["exactly", "adminAccess"]) == Some(true);
    let first = requests.iter().position(asks)?;
    check(objects, object, &Path::new("spec.devices.requests").index(first))
}

/// What is wrong with the status of a claim that gives such access for the first time.
pub fn check_grant(objects: &dyn Lister, kind: &Kind, new: &Value, old: &Value) -> Option<Error> {
    if (kind.group, kind.plural) != ("resource.k8s.io", "resourceclaims") {
        return None;
    }
    let granted = |claim: &Value| {
        let results = claim.items_at(&["status", "allocation", "devices", "results"]);
        results.iter().position(|result| result.bool_at(&["adminAccess"]) == Some(true))
    };
    if granted(old).is_some() {
        return None;
    }
    check(objects, new, &Path::new("status.allocation.devices.results").index(granted(new)?))
}

fn check(objects: &dyn Lister, object: &Value, path: &Path) -> Option<Error> {
    let namespace = objects.get("", "namespaces", "", machinery::meta::namespace(object));
    if namespace.is_some_and(|namespace| machinery::meta::label(&namespace, LABEL) == Some("true")) {
        return None;
    }
    let detail = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
    Some(Error::forbidden(&path.child("adminAccess"), detail))
}

#[cfg(test)]
mod tests {
    use machinery::{field, value};

    use super::*;
    use crate::admission::Objects;

    #[test]
    fn only_in_labelled_namespaces() {
        let objects = Objects::default().with("", "namespaces", value!({"metadata": {"name": "a"}})).with(
            "",
            "namespaces",
            value!({"metadata": {"name": "b", "labels": {"resource.kubernetes.io/admin-access": "true"}}}),
        );
        let ask = |plural: &str, namespace: &str| {
            let kind = kinds::lookup("resource.k8s.io", "v1", plural).unwrap();
            let devices = value!({"requests": [{"name": "r"}, {"name": "s", "exactly": {"adminAccess": true}}]});
            let object = match plural {
                "resourceclaims" => value!({"metadata": {"namespace": namespace}, "spec": {"devices": devices}}),
                _ => value!({"metadata": {"namespace": namespace}, "spec": {"spec": {"devices": devices}}}),
            };
            field::aggregate(&check_wish(&objects, kind, &object).into_iter().collect::<Vec<_>>())
        };
        let claim = |namespace: &str, access: bool| {
            let results = value!([{"request": "r", "adminAccess": access}]);
            value!({"metadata": {"namespace": namespace}, "status": {"allocation": {"devices": {"results": results}}}})
        };
        let kind = kinds::lookup("resource.k8s.io", "v1", "resourceclaims").unwrap();
        let grant = check_grant(&objects, kind, &claim("a", true), &claim("a", false));
        let shown = [
            ask("resourceclaims", "a"),
            ask("resourceclaims", "b"),
            ask("resourceclaimtemplates", "a"),
            field::aggregate(&grant.into_iter().collect::<Vec<_>>()),
        ];
        expect_test::expect![[r#"
            spec.devices.requests[1].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace
            []
            spec.devices.requests[1].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace
            status.allocation.devices.results[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"#]].assert_eq(&shown.join("\n"));
    }
}
