//! The rules that stand whatever Services there are: hooks, dispatch, masquerade, reject, and the chains that draw a slot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::rules::{EXTERNAL_LOCAL, MARK, NODEPORT_LOCAL, REJECT, pick_chain};
use crate::ruleset::{Chain, Element, Family, Field, Key, Map, Part, Target};
use crate::services::Setting;

/// Chains that draw a slot come in blocks of so many sizes, so that a Service that grows or shrinks by an endpoint
/// seldom needs a new chain.
const BLOCK: u32 = 16;

/// The shared part for these Services' parts.
pub(crate) fn base(setting: &Setting, parts: &BTreeMap<Arc<str>, Arc<Part>>) -> Part {
    let mut base = Part::default();
    let blocks: BTreeSet<u32> =
        parts.values().flat_map(|part| &part.fanouts).map(|count| (count - 1) / BLOCK).chain([0]).collect();
    for family in &setting.families {
        let mut add = |name: String, hook: &str, rules: Vec<String>| {
            base.structure.chains.insert((*family, name), Chain { hook: hook.to_owned(), rules });
        };
        hooks(*family, &mut add);
        dispatch(setting, *family, &mut add);
        checks(*family, &mut add);
        for count in blocks.iter().flat_map(|block| block * BLOCK + 1..=(block + 1) * BLOCK) {
            pick(*family, count, &mut add);
        }
    }
    base.elements = elements(setting, parts);
    base
}

type Add<'a> = dyn FnMut(String, &str, Vec<String>) + 'a;

fn rules<const N: usize>(rules: [String; N]) -> Vec<String> {
    rules.into_iter().collect()
}

fn hooks(family: Family, add: &mut Add<'_>) {
    let ip = family.word();
    add("nat-prerouting".into(), "type nat hook prerouting priority -100;", vec!["jump services".into()]);
    add("nat-output".into(), "type nat hook output priority -100;", vec!["jump services".into()]);
    add("nat-postrouting".into(), "type nat hook postrouting priority 100;", vec!["jump masquerading".into()]);
    let firewall = format!(
        "{ip} daddr . meta l4proto . th dport @firewall-ips {ip} daddr . meta l4proto . th dport . {ip} saddr != @firewall-allowed drop"
    );
    add(
        "filter-prerouting".into(),
        "type filter hook prerouting priority -110;",
        vec![format!("ct state new {firewall}")],
    );
    let no_endpoints = || vec!["ct state new jump no-endpoints".to_owned()];
    add("filter-input".into(), "type filter hook input priority -110;", no_endpoints());
    add(
        "filter-forward".into(),
        "type filter hook forward priority -110;",
        vec!["ct state new jump no-endpoints".into(), "ct state new jump cluster-ips-check".into()],
    );
    add("filter-output".into(), "type filter hook output priority -110;", no_endpoints());
    add(
        "filter-output-post-dnat".into(),
        "type filter hook output priority -90;",
        vec!["ct state new jump cluster-ips-check".into()],
    );
}

fn dispatch(setting: &Setting, family: Family, add: &mut Add<'_>) {
    let ip = family.word();
    let frontend = format!("{ip} daddr . meta l4proto . th dport");
    let pods = pod_sources(setting, family);
    let mut services = Vec::new();
    if setting.masquerade_all {
        services.push(format!("{ip} daddr @cluster-ips jump {MARK}"));
    } else if let Some(pods) = &pods {
        services.push(format!("{ip} daddr @cluster-ips {ip} saddr != {pods} jump {MARK}"));
    }
    services.extend(rules([
        format!("{frontend} vmap @external-ips"),
        format!("{frontend} vmap @service-ips"),
        format!("fib daddr type local {ip} daddr @nodeport-ips jump nodeports"),
    ]));
    add("services".into(), "", services);
    add(
        "nodeports".into(),
        "",
        rules(["external-nodeports", "service-nodeports"].map(|map| format!("meta l4proto . th dport vmap @{map}"))),
    );
    // Pods and the node itself reach all endpoints whatever the external policy: they are not outside.
    let mut inner = |name: &str, lookup: String| {
        let mut local: Vec<String> = pods.iter().map(|pods| format!("{ip} saddr {pods} return")).collect();
        local.extend([format!("fib saddr type local goto {MARK}"), lookup]);
        add(name.into(), "", local);
    };
    inner(EXTERNAL_LOCAL, format!("{frontend} vmap @local-service-ips"));
    inner(NODEPORT_LOCAL, "meta l4proto . th dport vmap @local-nodeports".into());
    let mark = setting.masquerade_mark;
    add(MARK.into(), "", vec![format!("meta mark set meta mark | {mark:#x}")]);
    add(
        "masquerading".into(),
        "",
        rules([
            format!("ct status dnat {ip} saddr . {ip} daddr @hairpin-connections masquerade fully-random"),
            format!("meta mark & {mark:#x} == 0 return"),
            format!("meta mark set meta mark ^ {mark:#x}"),
            "masquerade fully-random".into(),
        ]),
    );
}

fn checks(family: Family, add: &mut Add<'_>) {
    let ip = family.word();
    add(REJECT.into(), "", vec!["reject".into()]);
    add("cluster-ips-check".into(), "", vec![format!("{ip} daddr @cluster-ips reject")]);
    add(
        "no-endpoints".into(),
        "",
        rules([
            format!("{ip} daddr . meta l4proto . th dport vmap @no-endpoint-services"),
            format!(
                "fib daddr type local {ip} daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports"
            ),
        ]),
    );
}

fn pick(family: Family, count: u32, add: &mut Add<'_>) {
    let ip = family.word();
    for (map, key) in [
        (Map::ServiceEndpoints, format!("{ip} daddr . meta l4proto . th dport")),
        (Map::LocalServiceEndpoints, format!("{ip} daddr . meta l4proto . th dport")),
        (Map::NodeportEndpoints, "meta l4proto . th dport".to_owned()),
        (Map::LocalNodeportEndpoints, "meta l4proto . th dport".to_owned()),
    ] {
        let rule = format!(
            "meta l4proto {{ tcp, udp, sctp }} dnat {ip} to {key} . numgen random mod {count} map @{}",
            map.name()
        );
        add(pick_chain(map, count), "", vec![rule]);
    }
}

/// Where pods' addresses come from, as nft writes it; none if the setting does not say.
fn pod_sources(setting: &Setting, family: Family) -> Option<String> {
    let cidrs: Vec<String> = setting
        .cluster_cidrs
        .iter()
        .filter(|cidr| Family::of(cidr.addr()) == family)
        .map(|cidr| cidr.trunc().to_string())
        .collect();
    match cidrs.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("{{ {} }}", many.join(", "))),
    }
}

fn elements(setting: &Setting, parts: &BTreeMap<Arc<str>, Arc<Part>>) -> Vec<Element> {
    let served = |family: &Family| setting.families.contains(family);
    let local: BTreeSet<IpAddr> = parts.values().flat_map(|part| &part.local_endpoints).copied().collect();
    let hairpins = local.into_iter().map(|ip| Element {
        family: Family::of(ip),
        map: Map::HairpinConnections,
        key: Key::new(&[Field::Address(ip), Field::Address(ip)]),
        target: Target::Member,
    });
    let node_ports = setting.nodeport_addresses.iter().map(|range| Element {
        family: Family::of(range.addr()),
        map: Map::NodeportIps,
        key: Key::new(&[Field::Range(*range)]),
        target: Target::Member,
    });
    hairpins.chain(node_ports).filter(|element| served(&element.family)).collect()
}
