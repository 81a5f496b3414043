//! NetworkPolicy: which traffic pods take and make.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, labels, meta, names};

use crate::kind::{BASE, Generation, Kind, MetadataChecks};
use crate::pod_spec::default::each;
use crate::table::{AGE, Describe, NAME, age, text};
use crate::validate::address::cidr_warnings;
use crate::validate::selector::label_selector;
use crate::validate::{cidr, one_of, parse_cidr, text as check_text};

const TYPES: [&str; 2] = ["Ingress", "Egress"];
/// The lists of rules, and of peers in a rule.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    plural: "networkpolicies",
    short_names: &["netpol"],
    storage: "networkpolicies",
    schema: "io.k8s.api.networking.v1.NetworkPolicy",
    columns: &[
        NAME,
        text("Pod-Selector", Describe::Field("io.k8s.api.networking.v1.NetworkPolicySpec", "podSelector")),
        AGE,
    ],
    row: |policy, now: Timestamp| {
        let selector = labels::format_label_selector(policy.at(&["spec", "podSelector"]));
        vec![meta::name(policy).into(), selector.into(), age(policy, now)]
    },
    generation: Generation::Of(&["spec"]),
    default,
    validate,
    // Upstream checks any change both as a new object and as a change.
    validate_update: |new, _| [validate(new), validate(new)].concat(),
    warnings: |policy, _| blocks(policy).flat_map(|(path, block)| block_warnings(block, &path)).collect(),
    metadata: MetadataChecks::BOTH,
    ..BASE
};

/// A port is of TCP; a policy is about what comes in, and about what goes out if it has rules for that.
fn default(policy: &mut Value) {
    for (direction, _) in DIRECTIONS {
        each(policy, &["spec", direction], |rule| {
            each(rule, &["ports"], |port| {
                if port.get("protocol").is_none_or(Value::is_null) {
                    port.set_at(&["protocol"], "TCP");
                }
            });
        });
    }
    if policy.get("spec").is_some() && policy.items_at(&["spec", "policyTypes"]).is_empty() {
        let outgoing = !policy.items_at(&["spec", "egress"]).is_empty();
        policy.set_at(&["spec", "policyTypes"], TYPES[..1 + usize::from(outgoing)].to_vec());
    }
}

fn validate(policy: &Value) -> Errors {
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = label_selector(spec.get("podSelector"), &path.child("podSelector"));
    for (direction, peers) in DIRECTIONS {
        for (i, rule) in spec.items_at(&[direction]).iter().enumerate() {
            let path = path.child(direction).index(i);
            for (j, port) in rule.items_at(&["ports"]).iter().enumerate() {
                errors.extend(self::port(port, &path.child("ports").index(j)));
            }
            for (j, peer) in rule.items_at(&[peers]).iter().enumerate() {
                errors.extend(self::peer(peer, &path.child(peers).index(j)));
            }
        }
    }
    let types = spec.items_at(&["policyTypes"]);
    let path = path.child("policyTypes");
    if types.len() > TYPES.len() {
        let detail = "may not specify more than two policyTypes";
        errors.push(Error::invalid(&path, Value::Array(types.to_vec()), detail));
        return errors;
    }
    let named = types.iter().filter_map(Value::as_str).enumerate();
    errors.extend(named.filter_map(|(i, kind)| one_of(kind, &TYPES, &path.index(i))));
    errors
}

fn port(port: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let protocol = port.str_at(&["protocol"]);
    errors.extend(protocol.and_then(|p| one_of(p, &["TCP", "UDP", "SCTP"], &path.child("protocol"))));
    let (field, end_field) = (path.child("port"), path.child("endPort"));
    let end = port.int_at(&["endPort"]);
    let out_of_range = |number: i64, field: &Path| -> Errors {
        names::is_port(number).into_iter().map(|m| Error::invalid(field, number, m)).collect()
    };
    match port.get("port") {
        Some(Value::Int(first)) => {
            errors.extend(out_of_range(*first, &field));
            if let Some(end) = end {
                if end < *first {
                    // The message shows the begin of the range.
                    errors.push(Error::invalid(&end_field, *first, "must be greater than or equal to `port`"));
                }
                errors.extend(out_of_range(end, &end_field));
            }
        }
        Some(Value::String(name)) => {
            let detail = "may not be specified when `port` is non-numeric";
            errors.extend(end.map(|end| Error::invalid(&end_field, end, detail)));
            errors.extend(check_text(names::is_port_name, name, &field));
        }
        _ => {
            let detail = "may not be specified when `port` is not specified";
            errors.extend(end.map(|end| Error::invalid(&end_field, end, detail)));
        }
    }
    errors
}

fn peer(peer: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let has = |field: &str| peer.get(field).is_some_and(|value| !value.is_null());
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors {
        errors.extend(label_selector(peer.get(field), &path.child(field)));
    }
    if has("ipBlock") {
        errors.extend(block(peer.get("ipBlock").unwrap_or(&Value::Null), &path.child("ipBlock")));
    }
    match (has("ipBlock"), selectors.iter().any(|field| has(field))) {
        (false, false) => errors.push(Error::required(path, "must specify a peer")),
        (true, true) => errors.push(Error::forbidden(path, "may not specify both ipBlock and another peer")),
        _ => {}
    }
    errors
}

fn block(block: &Value, path: &Path) -> Errors {
    let whole = block.str_at(&["cidr"]).unwrap_or_default();
    if whole.is_empty() {
        return vec![Error::required(&path.child("cidr"), "")];
    }
    let mut errors: Errors = cidr(whole, &path.child("cidr")).into_iter().collect();
    let Some(whole) = parse_cidr(whole) else { return errors };
    for (i, except) in block.items_at(&["except"]).iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("except").index(i);
        errors.extend(cidr(except, &path));
        let Some(part) = parse_cidr(except) else { continue };
        if !whole.contains(&part.addr()) || whole.prefix_len() >= part.prefix_len() {
            errors.push(Error::invalid(&path, except, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

/// The blocks of addresses of all rules, each with its place.
fn blocks(policy: &Value) -> impl Iterator<Item = (Path, &Value)> {
    DIRECTIONS.into_iter().flat_map(move |(direction, peers)| {
        let rules = policy.items_at(&["spec", direction]).iter().enumerate();
        rules.flat_map(move |(i, rule)| {
            let path = Path::new("spec").child(direction).index(i).child(peers);
            let peers = rule.items_at(&[peers]).iter().enumerate();
            peers.filter_map(move |(j, peer)| Some((path.index(j).child("ipBlock"), peer.get("ipBlock")?)))
        })
    })
}

fn block_warnings(block: &Value, path: &Path) -> Vec<String> {
    let whole = block.str_at(&["cidr"]).unwrap_or_default();
    let mut warnings = cidr_warnings(whole, &path.child("cidr"));
    for (i, except) in block.items_at(&["except"]).iter().filter_map(Value::as_str).enumerate() {
        warnings.extend(cidr_warnings(except, &path.child("except").index(i)));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn types_follow_rules() {
        let mut policy = value!({"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}});
        default(&mut policy);
        expect_test::expect![[r#"{"spec":{"podSelector":{},"egress":[{"ports":[{"port":53,"protocol":"TCP"}]}],"policyTypes":["Ingress","Egress"]}}"#]]
            .assert_eq(&serde_json::to_string(&policy).unwrap());
    }

    #[test]
    fn peers() {
        let policy = value!({"spec": {"egress": [{"to": [{}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}, "podSelector": {}}]}]}});
        expect_test::expect!["[spec.egress[0].to[0]: Required value: must specify a peer, spec.egress[0].to[1].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`, spec.egress[0].to[1]: Forbidden: may not specify both ipBlock and another peer]"]
            .assert_eq(&field::aggregate(&validate(&policy)));
    }
}
