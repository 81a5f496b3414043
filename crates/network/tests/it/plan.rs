//! Nodes and pods in, the host's tables and routes out.

use expect_test::expect;
use k8s_openapi::api::core::v1::{Node, Pod};
use network::{Options, View, plan};
use serde_json::json;

fn node(name: &str, ip: &str, cidrs: &[&str]) -> Node {
    let object = json!({
        "metadata": {"name": name},
        "spec": {"podCIDR": cidrs.first(), "podCIDRs": cidrs},
        "status": {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": ip}]},
    });
    serde_json::from_value(object).unwrap()
}

fn pod(ip: &str, phase: &str, ports: serde_json::Value) -> Pod {
    let object = json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}]},
    });
    serde_json::from_value(object).unwrap()
}

fn show(options: &Options, nodes: &[Node], pods: &[Pod]) -> String {
    let desired = plan(&View::new(options, nodes, pods), options);
    let routes: String = desired.routes.iter().map(|route| format!("{route:?}\n")).collect();
    let sysctls: String = desired.sysctls.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    format!("configured: {}\n{sysctls}{routes}{}", desired.conflist.is_some(), desired.nft)
}

#[test]
fn without_a_range_there_is_no_network_yet() {
    let mut options = Options::new("n1", "/s");
    let nodes = [node("n1", "192.168.0.1", &[]), node("n2", "192.168.0.2", &["10.244.1.0/24"])];
    expect![[r#"
        configured: false
        net/ipv4/ip_forward=1
    "#]]
    .assert_eq(&show(&options, &nodes, &[]));
    options.pod_cidrs = vec!["10.244.9.0/24".parse().unwrap()];
    expect![[r#"
        configured: true
        net/ipv4/ip_forward=1
        Via(10.244.1.0/24, 192.168.0.2)
        Unreachable(10.244.9.0/24)
        add table ip coxswain-network
        delete table ip coxswain-network
        add table ip6 coxswain-network
        delete table ip6 coxswain-network
        table ip coxswain-network {
          chain postrouting {
            type nat hook postrouting priority 110;
            ip saddr { 10.244.9.0/24 } ip daddr != { 10.244.1.0/24, 10.244.9.0/24, 192.168.0.1, 192.168.0.2, 224.0.0.0/4 } masquerade fully-random
          }
        }
    "#]].assert_eq(&show(&options, &nodes, &[]));
}

#[test]
fn nodes_and_host_ports() {
    let mut options = Options::new("n1", "/s");
    options.cluster_cidrs = vec!["10.244.0.0/16".parse().unwrap()];
    let nodes = [node("n1", "192.168.0.1", &["10.244.0.0/24"]), node("n2", "192.168.0.2", &["10.244.1.0/24"])];
    let ports = json!([
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"},
        {"containerPort": 81},
    ]);
    let pods = [
        pod("10.244.0.5", "Running", ports),
        pod("10.244.0.6", "Succeeded", json!([{"containerPort": 80, "hostPort": 8081}])),
    ];
    expect![[r#"
        configured: true
        net/ipv4/ip_forward=1
        net/ipv4/conf/all/route_localnet=1
        Via(10.244.1.0/24, 192.168.0.2)
        Unreachable(10.244.0.0/24)
        add table ip coxswain-network
        delete table ip coxswain-network
        add table ip6 coxswain-network
        delete table ip6 coxswain-network
        table ip coxswain-network {
          chain postrouting {
            type nat hook postrouting priority 110;
            ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random
            ct status dnat ip saddr 127.0.0.0/8 masquerade fully-random
            ip saddr { 10.244.0.0/24 } ip daddr != { 10.244.0.0/16, 192.168.0.1, 192.168.0.2, 224.0.0.0/4 } masquerade fully-random
          }
          map host-ports {
            type inet_proto . inet_service : ipv4_addr . inet_service;
            elements = { tcp . 8080 : 10.244.0.5 . 80 }
          }
          map host-ips {
            type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;
            elements = { 127.0.0.1 . udp . 53 : 10.244.0.5 . 53 }
          }
          set hairpin {
            type ipv4_addr . ipv4_addr;
            elements = { 10.244.0.5 . 10.244.0.5 }
          }
          chain host-port {
            meta l4proto { tcp, udp, sctp } dnat ip to ip daddr . meta l4proto . th dport map @host-ips
            meta l4proto { tcp, udp, sctp } dnat ip to meta l4proto . th dport map @host-ports
          }
          chain prerouting {
            type nat hook prerouting priority -101;
            fib daddr type local jump host-port
          }
          chain output {
            type nat hook output priority -101;
            fib daddr type local jump host-port
          }
          chain guard-loopback {
            type filter hook prerouting priority -300;
            iif != lo ip daddr 127.0.0.0/8 drop
          }
        }
    "#]].assert_eq(&show(&options, &nodes, &pods));
}
