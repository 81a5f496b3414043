//! ServiceCIDR: a range that addresses of Services come from (KEP-1880).

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, value};

use crate::kind::{BASE, Kind, STATUS};
use crate::table::{AGE, Describe, NAME, age, text};
use crate::validate::address::strict_cidr;
use crate::validate::parse_cidr;

const IMMUTABLE: &str = "field is immutable";

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    kind: "ServiceCIDR",
    plural: "servicecidrs",
    namespaced: false,
    storage: "servicecidrs",
    schema: "io.k8s.api.networking.v1.ServiceCIDR",
    subresources: &[STATUS],
    columns: &[NAME, text("CIDRs", Describe::Field("io.k8s.api.networking.v1.ServiceCIDRSpec", "cidrs")), AGE],
    row,
    validate: |range| cidrs(range.items_at(&["spec", "cidrs"])),
    validate_update,
    ..BASE
};

fn row(range: &Value, now: Timestamp) -> Vec<Value> {
    let cidrs: Vec<&str> = range.items_at(&["spec", "cidrs"]).iter().filter_map(Value::as_str).collect();
    vec![meta::name(range).into(), cidrs.join(",").into(), age(range, now)]
}

fn cidrs(all: &[Value]) -> Errors {
    let path = Path::new("spec.cidrs");
    if all.is_empty() {
        return vec![Error::required(&path, "at least one CIDR required")];
    }
    if all.len() > 2 {
        let shown = value!({"CIDRs": (Value::Array(all.to_vec()))});
        return vec![Error::invalid(&path, shown, "may only hold up to 2 values")];
    }
    let texts: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    let mut errors: Errors = texts.iter().enumerate().flat_map(|(i, text)| strict_cidr(text, &path.index(i))).collect();
    let families: Vec<bool> = texts.iter().filter_map(|text| Some(parse_cidr(text)?.addr().is_ipv4())).collect();
    if families == [true, true] || families == [false, false] {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(Error::invalid(&path, Value::Array(all.to_vec()), detail));
    }
    errors
}

/// A second range may come, to become dual-stack; what is there stays.
fn validate_update(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec.cidrs");
    let [new, old] = [new, old].map(|range| range.items_at(&["spec", "cidrs"]));
    let changed = |i: usize| {
        let differs = new.get(i) != old.get(i);
        differs.then(|| Error::invalid(&path.index(i), new.get(i).cloned(), IMMUTABLE))
    };
    match (old.len(), new.len()) {
        (before, after) if before == after => (0..before).filter_map(changed).collect(),
        (1, 2) => changed(0).into_iter().chain(cidrs(new)).collect(),
        _ => vec![Error::invalid(&path, Value::Array(new.to_vec()), IMMUTABLE)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn updates() {
        let of = |cidrs: &[&str]| value!({"spec": {"cidrs": (cidrs.to_vec())}});
        let change = |old: &[&str], new: &[&str]| field::aggregate(&validate_update(&of(new), &of(old)));
        assert_eq!(change(&["10.0.0.0/24"], &["10.0.0.0/24", "fd00::/112"]), "[]");
        expect_test::expect![[r#"spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable"#]]
            .assert_eq(&change(&["10.0.0.0/24"], &["10.1.0.0/24"]));
        expect_test::expect![[r#"spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable"#]]
            .assert_eq(&change(&["10.0.0.0/24", "fd00::/112"], &["10.0.0.0/24"]));
    }
}
