//! The nftables tables: masquerade for what leaves the pod ranges, and host ports. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::desired::{HostPort, View};

/// The nftables table, one for each family.
pub const TABLE: &str = "coxswain-network";

/// The script that replaces both tables in one transaction.
pub(crate) fn script(view: &View, cluster_cidrs: &[IpNet]) -> String {
    let mut script = removal();
    for four in [true, false] {
        let of_family = |cidr: &&IpNet| cidr.addr().is_ipv4() == four;
        if view.pod_cidrs.iter().any(|cidr| of_family(&cidr)) {
            table(&mut script, four, view, cluster_cidrs);
        }
    }
    script
}

/// The script that removes both tables.
pub(crate) fn removal() -> String {
    ["ip", "ip6"].map(|ip| format!("add table {ip} {TABLE}\ndelete table {ip} {TABLE}\n")).concat()
}

fn table(script: &mut String, four: bool, view: &View, cluster_cidrs: &[IpNet]) {
    let ip = if four { "ip" } else { "ip6" };
    let cidrs = |cidrs: &[IpNet]| -> Vec<IpNet> {
        cidrs.iter().filter(|cidr| cidr.addr().is_ipv4() == four).map(IpNet::trunc).collect()
    };
    let own = cidrs(&view.pod_cidrs);
    let mut inside: Vec<IpNet> = cidrs(cluster_cidrs);
    inside.extend(&own);
    inside.extend(view.peers.iter().map(|peer| peer.pod_cidr).filter(|cidr| cidr.addr().is_ipv4() == four));
    inside.extend(view.node_ips.iter().filter(|ip| ip.is_ipv4() == four).map(|ip| IpNet::from(*ip)));
    inside.push(if four { MULTICAST_V4 } else { MULTICAST_V6 }.parse().expect("a constant range"));
    let inside = IpNet::aggregate(&inside);
    let ports: Vec<&HostPort> = view.host_ports.iter().filter(|port| port.pod_ip.is_ipv4() == four).collect();

    let mut line = |text: String| script.push_str(&(text + "\n"));
    line(format!("table {ip} {TABLE} {{"));
    line("  chain postrouting {".into());
    line("    type nat hook postrouting priority 110;".into());
    if !ports.is_empty() {
        line(format!("    ct status dnat {ip} saddr . {ip} daddr @hairpin masquerade fully-random"));
        let loopback = if four { "127.0.0.0/8" } else { "::1" };
        line(format!("    ct status dnat {ip} saddr {loopback} masquerade fully-random"));
    }
    line(format!("    {ip} saddr {{ {} }} {ip} daddr != {{ {} }} masquerade fully-random", list(&own), list(&inside)));
    line("  }".into());
    if !ports.is_empty() {
        host_ports(&mut line, four, &ports);
    }
    line("}".into());
}

const MULTICAST_V4: &str = "224.0.0.0/4";
const MULTICAST_V6: &str = "ff00::/8";

fn host_ports(line: &mut impl FnMut(String), four: bool, ports: &[&HostPort]) {
    let (ip, address) = if four { ("ip", "ipv4_addr") } else { ("ip6", "ipv6_addr") };
    // Two pods with the same host port cannot be on one node; while one replaces the other, one of them has it.
    let (mut any, mut exact, mut hairpin) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for port in ports {
        let target = format!("{} . {}", port.pod_ip, port.container_port);
        let door = format!("{} . {}", port.protocol, port.host_port);
        match port.host_ip {
            None => any.insert(door, target),
            Some(host_ip) => exact.insert(format!("{host_ip} . {door}"), target),
        };
        hairpin.insert(format!("{} . {}", port.pod_ip, port.pod_ip), String::new());
    }
    line("  map host-ports {".into());
    line(format!("    type inet_proto . inet_service : {address} . inet_service;"));
    elements(line, &any);
    line("  map host-ips {".into());
    line(format!("    type {address} . inet_proto . inet_service : {address} . inet_service;"));
    elements(line, &exact);
    line("  set hairpin {".into());
    line(format!("    type {address} . {address};"));
    elements(line, &hairpin);
    line("  chain host-port {".into());
    line(format!(
        "    meta l4proto {{ tcp, udp, sctp }} dnat {ip} to {ip} daddr . meta l4proto . th dport map @host-ips"
    ));
    line(format!("    meta l4proto {{ tcp, udp, sctp }} dnat {ip} to meta l4proto . th dport map @host-ports"));
    line("  }".into());
    for hook in ["prerouting", "output"] {
        line(format!("  chain {hook} {{"));
        line(format!("    type nat hook {hook} priority -101;"));
        line("    fib daddr type local jump host-port".into());
        line("  }".into());
    }
    if four {
        line("  chain guard-loopback {".into());
        line("    type filter hook prerouting priority -300;".into());
        line("    iif != lo ip daddr 127.0.0.0/8 drop".into());
        line("  }".into());
    }
}

fn elements(line: &mut impl FnMut(String), elements: &BTreeMap<String, String>) {
    let mut text = String::new();
    for (key, target) in elements {
        let separator = if text.is_empty() { "" } else { ", " };
        let target = if target.is_empty() { String::new() } else { format!(" : {target}") };
        let _ = write!(text, "{separator}{key}{target}");
    }
    if !text.is_empty() {
        line(format!("    elements = {{ {text} }}"));
    }
    line("  }".into());
}

fn list(cidrs: &[IpNet]) -> String {
    let single = |cidr: &IpNet| -> String {
        let ip: IpAddr = cidr.addr();
        if cidr.prefix_len() == cidr.max_prefix_len() { ip.to_string() } else { cidr.to_string() }
    };
    cidrs.iter().map(single).collect::<Vec<_>>().join(", ")
}
