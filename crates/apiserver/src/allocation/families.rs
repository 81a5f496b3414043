//! Which families of addresses a service has: what it leaves open follows from what it says and what the cluster has
//! (KEP-563).

use std::net::IpAddr;

use kinds::core::service::{has_cluster_ip, is_headless};
use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::family;

const POLICY: [&str; 2] = ["spec", "ipFamilyPolicy"];
const FAMILIES: [&str; 2] = ["spec", "ipFamilies"];
const ADDRESSES: [&str; 2] = ["spec", "clusterIPs"];

/// Says which families `service`, which was `old` before, has in a cluster with the families `own`.
///
/// # Errors
/// It asks for a family that the cluster does not have, or contradicts itself.
pub fn fill_in(service: &mut Value, old: Option<&Value>, own: &[&'static str]) -> Result<(), Errors> {
    if !has_cluster_ip(service) || old.is_some_and(|old| stays_as_preferred(service, old)) {
        return Ok(());
    }
    let anything_goes = is_headless(service) && !has_selector(service);
    choose_policy(service, old, anything_goes);
    let mut errors = old.map(|old| narrow(service, old)).unwrap_or_default();
    errors.extend(too_many_for_one(service));
    errors.extend(infer(service, own));
    if !errors.is_empty() {
        return Err(errors);
    }
    if !anything_goes {
        let errors = not_configured(service, own);
        if !errors.is_empty() {
            return Err(errors);
        }
    }
    let mut families = service.items_at(&FAMILIES).to_vec();
    if families.is_empty() {
        families.extend(own.first().map(|family| Value::from(*family)));
    }
    if !is_single(service) && families.len() == 1 && (anything_goes || own.len() == 2) {
        let first_is_ipv4 = families[0].as_str() == Some(family(true));
        families.push(family(!first_is_ipv4).into());
    }
    service.set_at(&FAMILIES, Value::Array(families));
    Ok(())
}

/// A service that prefers two families keeps what it has when the cluster gets or loses one, until somebody touches it.
fn stays_as_preferred(service: &Value, old: &Value) -> bool {
    let prefers = |service: &Value| service.str_at(&POLICY) == Some("PreferDualStack");
    let same = |path: &[&str]| service.items_at(path) == old.items_at(path);
    let same_type = service.at(&["spec", "type"]) == old.at(&["spec", "type"]);
    prefers(service) && prefers(old) && same_type && same(&ADDRESSES) && same(&FAMILIES)
}

fn choose_policy(service: &mut Value, old: Option<&Value>, anything_goes: bool) {
    if service.str_at(&POLICY).is_some() {
        return;
    }
    let before = old.and_then(|old| old.str_at(&POLICY)).map(str::to_owned);
    let otherwise = if anything_goes { "RequireDualStack" } else { "SingleStack" };
    service.set_at(&POLICY, before.unwrap_or_else(|| otherwise.to_owned()));
}

/// To become single the policy is enough; to drop an address or a family, the policy must say so.
fn narrow(service: &mut Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let lists = [(ADDRESSES, "the secondary cluster IP"), (FAMILIES, "the secondary IP family")];
    for (path, what) in lists {
        let (new, before) = (service.items_at(&path), old.items_at(&path));
        if is_single(service) {
            if new == before && new.len() > 1 {
                let first = new[..1].to_vec();
                service.set_at(&path, Value::Array(first));
            }
        } else if !new.is_empty() && new.len() == 1 && before.len() == 2 {
            let detail = format!("must be 'SingleStack' to release {what}");
            errors.push(Error::invalid(
                &Path::new("spec").child("ipFamilyPolicy"),
                service.at(&POLICY).cloned(),
                detail,
            ));
        }
    }
    errors
}

fn too_many_for_one(service: &Value) -> Errors {
    let path = Path::new("spec").child("ipFamilyPolicy");
    let lists = [(ADDRESSES, "cluster IPs"), (FAMILIES, "IP families")];
    let several = lists.iter().filter(|(field, _)| is_single(service) && service.items_at(field).len() > 1);
    let detail =
        |words: &str| format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {words} are specified");
    several.map(|(_, words)| Error::invalid(&path, "SingleStack", detail(words))).collect()
}

/// Addresses that are given say of which family they are.
fn infer(service: &mut Value, own: &[&'static str]) -> Errors {
    let addresses = service.items_at(&ADDRESSES).to_vec();
    let mut families = service.items_at(&FAMILIES).to_vec();
    let mut errors = Errors::new();
    for (i, text) in addresses.iter().enumerate().skip(families.len()) {
        let Some(address) = text.as_str().and_then(|text| text.parse::<IpAddr>().ok()) else { continue };
        let family = family(address.is_ipv4());
        if own.contains(&family) {
            families.push(family.into());
        } else {
            let detail = format!("{family} is not configured on this cluster");
            let path = Path::new("spec").child("clusterIPs").index(i);
            errors.push(Error::invalid(&path, Value::Array(addresses.clone()), detail));
        }
    }
    if !families.is_empty() {
        service.set_at(&FAMILIES, Value::Array(families));
    }
    errors
}

/// What a service asks for that this cluster does not have.
fn not_configured(service: &Value, own: &[&'static str]) -> Errors {
    let spec = Path::new("spec");
    let mut errors = Errors::new();
    if service.str_at(&POLICY) == Some("RequireDualStack") && own.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid(&spec.child("ipFamilyPolicy"), "RequireDualStack", detail));
    }
    for (i, family) in service.items_at(&FAMILIES).iter().filter_map(Value::as_str).enumerate() {
        if !own.contains(&family) {
            let path = spec.child("ipFamilies").index(i);
            errors.push(Error::invalid(&path, family, "not configured on this cluster"));
        }
    }
    errors
}

fn is_single(service: &Value) -> bool {
    service.str_at(&POLICY) == Some("SingleStack")
}

fn has_selector(service: &Value) -> bool {
    service.at(&["spec", "selector"]).and_then(Value::as_object).is_some_and(|selector| !selector.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, json, value};

    fn show(spec: Value, old: Option<Value>, own: &[&'static str]) -> String {
        let mut service = value!({"spec": spec});
        let old = old.map(|spec| value!({"spec": spec}));
        match fill_in(&mut service, old.as_ref(), own) {
            Err(errors) => field::aggregate(&errors),
            Ok(()) => {
                let shown = [POLICY, FAMILIES, ADDRESSES]
                    .map(|path| json::to_string(service.at(&path).unwrap_or(&Value::Null)));
                shown.join(" ")
            }
        }
    }

    #[test]
    fn new_services() {
        let one: &[&str] = &["IPv4"];
        let two: &[&str] = &["IPv6", "IPv4"];
        let cluster = |extra: Value| {
            let mut spec = value!({"type": "ClusterIP", "selector": {"a": "b"}});
            for (name, value) in extra.as_object().unwrap().iter() {
                spec.set_at(&[name.as_str()], value.clone());
            }
            spec
        };
        let shown = [
            show(cluster(value!({})), None, one),
            show(cluster(value!({})), None, two),
            show(cluster(value!({"ipFamilyPolicy": "PreferDualStack"})), None, one),
            show(cluster(value!({"ipFamilyPolicy": "PreferDualStack"})), None, two),
            show(cluster(value!({"ipFamilyPolicy": "RequireDualStack"})), None, one),
            show(cluster(value!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4"]})), None, two),
            show(cluster(value!({"clusterIPs": ["fd00::1"]})), None, one),
            show(cluster(value!({"clusterIPs": ["10.0.0.1", "fd00::1"]})), None, two),
            show(cluster(value!({"ipFamilies": ["IPv6"]})), None, one),
            show(value!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"]}), None, one),
            show(cluster(value!({"clusterIP": "None", "clusterIPs": ["None"]})), None, two),
        ];
        expect_test::expect![[r#"
            "SingleStack" ["IPv4"] null
            "SingleStack" ["IPv6"] null
            "PreferDualStack" ["IPv4"] null
            "PreferDualStack" ["IPv6","IPv4"] null
            spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services
            "RequireDualStack" ["IPv4","IPv6"] null
            spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster
            spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified
            spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster
            "RequireDualStack" ["IPv4","IPv6"] ["None"]
            "SingleStack" ["IPv6"] ["None"]"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn changed_services() {
        let two: &[&str] = &["IPv4", "IPv6"];
        let of = |policy: &str, families: &[&str], addresses: &[&str]| value!({"type": "ClusterIP", "ipFamilyPolicy": policy, "ipFamilies": (families.to_vec()), "clusterIPs": (addresses.to_vec())});
        let both = || of("PreferDualStack", &["IPv4", "IPv6"], &["10.0.0.1", "fd00::1"]);
        let shown = [
            show(of("SingleStack", &["IPv4", "IPv6"], &["10.0.0.1", "fd00::1"]), Some(both()), two),
            show(of("PreferDualStack", &["IPv4"], &["10.0.0.1"]), Some(both()), two),
            show(
                of("PreferDualStack", &["IPv4"], &["10.0.0.1"]),
                Some(of("SingleStack", &["IPv4"], &["10.0.0.1"])),
                two,
            ),
            show(
                of("PreferDualStack", &["IPv4"], &["10.0.0.1"]),
                Some(of("PreferDualStack", &["IPv4"], &["10.0.0.1"])),
                two,
            ),
        ];
        expect_test::expect![[r#"
            "SingleStack" ["IPv4"] ["10.0.0.1"]
            [spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be 'SingleStack' to release the secondary cluster IP, spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be 'SingleStack' to release the secondary IP family]
            "PreferDualStack" ["IPv4","IPv6"] ["10.0.0.1"]
            "PreferDualStack" ["IPv4"] ["10.0.0.1"]"#]]
        .assert_eq(&shown.join("\n"));
    }
}
