//! Resources of a whole pod (KEP-2837), and the claims it has on devices (KEP-4381).

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use super::filled;
use crate::go_shape::shown;
use crate::pod_spec::{amounts, quantity, total_requests, totals};
use crate::validate::metadata::sorted;
use crate::validate::resources::{amount_of, resource_name};
use crate::validate::text;

const CLAIM: &str = "io.k8s.api.core.v1.PodResourceClaim";
/// Says that the pod only mirrors one that a kubelet has by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What is wrong with the resources of the pod as one.
pub(super) fn check(spec: &Value, path: &Path) -> Errors {
    let Some(resources) = spec.get("resources").filter(|resources| !resources.is_null()) else {
        return Errors::new();
    };
    if spec.str_at(&["os", "name"]) == Some("windows") {
        return vec![Error::forbidden(path, "may not be set for a windows pod")];
    }
    let mut errors = Errors::new();
    if resources.get("claims").is_some_and(|claims| !claims.is_null()) {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(Error::forbidden(&path.child("claims"), detail));
    }
    for list in ["limits", "requests"] {
        for (name, amount) in sorted(resources.get(list).and_then(Value::as_object)) {
            errors.extend(one(name, amount, &path.child(list).key(name)));
            let limit = resources.at(&["limits", name]).and_then(quantity).filter(|_| list == "requests");
            if let (Some(amount), Some(limit)) = (quantity(amount), limit)
                && amount > limit
            {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(Error::invalid(&path.child("requests"), amount.to_string(), detail));
            }
        }
    }
    errors.extend(containers_fit(spec, resources, path));
    errors
}

fn one(name: &str, amount: &Value, path: &Path) -> Errors {
    let mut errors = resource_name(name, path);
    let supported = matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    if errors.is_empty() && !supported {
        errors.push(Error::not_supported(path, name, &["cpu", "hugepages-", "memory"]));
    }
    errors.extend(amount_of(name, amount, path));
    errors
}

/// Containers together ask for no more than the pod, and none may use more than the pod may.
fn containers_fit(spec: &Value, resources: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let of_pod = |list: &str, name: &str| resources.at(&[list, name]).and_then(quantity);
    for (name, wanted) in total_requests(spec) {
        let Some(asked) = of_pod("requests", &name).filter(|asked| wanted > *asked) else { continue };
        let detail = format!("must be greater than or equal to aggregate container requests of {wanted}");
        errors.push(Error::invalid(&path.child("requests").key(&name), asked.to_string(), detail));
    }
    for (name, wanted) in totals(spec, "limits").into_iter().filter(|(name, _)| name.starts_with("hugepages-")) {
        let Some(most) = of_pod("limits", &name).filter(|most| wanted > *most) else { continue };
        let detail = format!("must be greater than or equal to aggregate container limits of {wanted}");
        errors.push(Error::invalid(&path.child("limits").key(&name), most.to_string(), detail));
    }
    for (i, container) in spec.items_at(&["containers"]).iter().enumerate() {
        for (name, limit) in amounts(container, "limits") {
            let Some(most) = of_pod("limits", &name).filter(|most| limit > *most) else { continue };
            let path = path.child("containers").index(i).key(&name).child("limits");
            let detail = format!("must be less than or equal to pod limits of {most}");
            errors.push(Error::invalid(&path, limit.to_string(), detail));
        }
    }
    errors
}

/// What is wrong with the claims that a pod has.
pub(super) fn claims(spec: &Value, pod: Option<&Value>, path: &Path) -> Errors {
    let all = spec.items_at(&["resourceClaims"]);
    let mut errors = Errors::new();
    if pod.is_some_and(|pod| meta::annotation(pod, MIRROR).is_some()) {
        let static_pod = Error::forbidden(&Path::default().key(""), "static pods do not support resource claims");
        return all.iter().map(|_| static_pod.clone()).collect();
    }
    for (i, claim) in all.iter().enumerate() {
        let path = path.index(i);
        match filled(claim, "name") {
            None => errors.push(Error::required(&path.child("name"), "")),
            Some(name) if all[..i].iter().any(|other| filled(other, "name") == Some(name)) => {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            Some(name) => errors.extend(text(names::is_dns1123_label, name, &path.child("name"))),
        }
        let [name, template] = ["resourceClaimName", "resourceClaimTemplateName"].map(|field| claim.str_at(&[field]));
        let both = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
        let none = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
        match (name, template) {
            (Some(_), Some(_)) => errors.push(Error::invalid(&path, shown(CLAIM, claim), both)),
            (None, None) => errors.push(Error::invalid(&path, shown(CLAIM, claim), none)),
            _ => {}
        }
        for (field, value) in [("resourceClaimName", name), ("resourceClaimTemplateName", template)] {
            if let Some(value) = value {
                errors.extend(text(names::is_dns1123_subdomain, value, &path.child(field)));
            }
        }
    }
    errors
}
