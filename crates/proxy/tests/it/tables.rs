//! Text in, text out: what a change of Services changes in the kernel.

use expect_test::{Expect, expect};
use proxy::{Services, diff, refresh, rules};
use serde_json::json;

use crate::objects::{put, put_slice, service, setting, slice};

fn empty() -> Services {
    Services::new(setting("192.168.0.1"))
}

/// What `change` makes of the rules, as nft reads it.
fn check(services: &mut Services, change: impl FnOnce(&mut Services), expected: &Expect) {
    services.take_dirty();
    let before = rules(services);
    change(services);
    let dirty = services.take_dirty();
    let next = refresh(services, &before, &dirty);
    expected.assert_eq(&diff(&before, &next).to_string());
    let mut after = before;
    after.commit(next);
    assert_eq!(after, rules(services), "the short way equals the long one");
}

#[test]
fn a_service_comes_changes_and_goes() {
    let mut services = empty();
    check(
        &mut services,
        |s| put(s, service("web", "10.96.0.10", "TCP", json!({}))),
        &expect![[r#"
        add element ip coxswain-proxy cluster-ips { 10.96.0.10 }
        add element ip coxswain-proxy no-endpoint-services { 10.96.0.10 . tcp . 80 : goto reject-traffic }
    "#]],
    );
    check(
        &mut services,
        |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080 10.244.1.2:8080")),
        &expect![[r#"
        delete element ip coxswain-proxy no-endpoint-services { 10.96.0.10 . tcp . 80 }
        add element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-endpoints-2 }
        add element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 0 : 10.244.0.2 . 8080, 10.96.0.10 . tcp . 80 . 1 : 10.244.1.2 . 8080 }
    "#]],
    );
    check(
        &mut services,
        |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080 10.244.1.3:8080 10.244.1.4:8080!")),
        &expect![[r#"
            delete element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 1 }
            add element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 1 : 10.244.1.3 . 8080 }
        "#]],
    );
    check(
        &mut services,
        |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080 10.244.0.3:8080@n1 10.244.1.3:8080")),
        &expect![[r#"
            delete element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 }
            delete element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 1 }
            add element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-endpoints-3 }
            add element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 1 : 10.244.0.3 . 8080, 10.96.0.10 . tcp . 80 . 2 : 10.244.1.3 . 8080 }
            add element ip coxswain-proxy hairpin-connections { 10.244.0.3 . 10.244.0.3 }
        "#]],
    );
    check(
        &mut services,
        |s| s.set_service(&"default/web".into(), None),
        &expect![[r#"
        delete element ip coxswain-proxy cluster-ips { 10.96.0.10 }
        delete element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 }
        delete element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 0, 10.96.0.10 . tcp . 80 . 1, 10.96.0.10 . tcp . 80 . 2 }
        delete element ip coxswain-proxy hairpin-connections { 10.244.0.3 . 10.244.0.3 }
    "#]],
    );
}

#[test]
fn outward_addresses_and_policies() {
    let mut services = empty();
    put_slice(&mut services, slice("web", "TCP", "10.244.0.2:8080@n1 10.244.1.2:8080"));
    check(
        &mut services,
        |s| {
            let more = json!({"type": "LoadBalancer", "nodePort": 30080, "externalIPs": ["203.0.113.1"],
                "loadBalancerSourceRanges": ["198.51.100.0/24"],
                "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.2"}, {"ip": "203.0.113.3", "ipMode": "Proxy"}]}}});
            put(s, service("web", "10.96.0.10", "TCP", more));
        },
        &expect![[r#"
            add element ip coxswain-proxy cluster-ips { 10.96.0.10 }
            add element ip coxswain-proxy external-ips { 203.0.113.1 . tcp . 80 : jump mark-for-masquerade, 203.0.113.2 . tcp . 80 : jump mark-for-masquerade }
            add element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-endpoints-2, 203.0.113.1 . tcp . 80 : goto service-endpoints-2, 203.0.113.2 . tcp . 80 : goto service-endpoints-2 }
            add element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 0 : 10.244.0.2 . 8080, 10.96.0.10 . tcp . 80 . 1 : 10.244.1.2 . 8080, 203.0.113.1 . tcp . 80 . 0 : 10.244.0.2 . 8080, 203.0.113.1 . tcp . 80 . 1 : 10.244.1.2 . 8080, 203.0.113.2 . tcp . 80 . 0 : 10.244.0.2 . 8080, 203.0.113.2 . tcp . 80 . 1 : 10.244.1.2 . 8080 }
            add element ip coxswain-proxy external-nodeports { tcp . 30080 : jump mark-for-masquerade }
            add element ip coxswain-proxy service-nodeports { tcp . 30080 : goto nodeport-endpoints-2 }
            add element ip coxswain-proxy nodeport-endpoints { tcp . 30080 . 0 : 10.244.0.2 . 8080, tcp . 30080 . 1 : 10.244.1.2 . 8080 }
            add element ip coxswain-proxy firewall-ips { 203.0.113.2 . tcp . 80 }
            add element ip coxswain-proxy firewall-allowed { 203.0.113.2 . tcp . 80 . 198.51.100.0/24 }
            add element ip coxswain-proxy hairpin-connections { 10.244.0.2 . 10.244.0.2 }
        "#]],
    );
    check(
        &mut services,
        |s| {
            let more = json!({"type": "NodePort", "nodePort": 30080, "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"});
            put(s, service("web", "10.96.0.10", "TCP", more));
        },
        &expect![[r#"
            delete element ip coxswain-proxy external-ips { 203.0.113.1 . tcp . 80, 203.0.113.2 . tcp . 80 }
            delete element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80, 203.0.113.1 . tcp . 80, 203.0.113.2 . tcp . 80 }
            delete element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 1, 203.0.113.1 . tcp . 80 . 0, 203.0.113.1 . tcp . 80 . 1, 203.0.113.2 . tcp . 80 . 0, 203.0.113.2 . tcp . 80 . 1 }
            delete element ip coxswain-proxy external-nodeports { tcp . 30080 }
            delete element ip coxswain-proxy firewall-ips { 203.0.113.2 . tcp . 80 }
            delete element ip coxswain-proxy firewall-allowed { 203.0.113.2 . tcp . 80 . 198.51.100.0/24 }
            add element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-endpoints-1 }
            add element ip coxswain-proxy external-nodeports { tcp . 30080 : jump nodeport-local }
            add element ip coxswain-proxy local-nodeports { tcp . 30080 : goto local-nodeport-endpoints-1 }
            add element ip coxswain-proxy local-nodeport-endpoints { tcp . 30080 . 0 : 10.244.0.2 . 8080 }
        "#]],
    );
    check(
        &mut services,
        |s| put_slice(s, slice("web", "TCP", "10.244.1.2:8080")),
        &expect![[r#"
        delete element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 }
        delete element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 0 }
        delete element ip coxswain-proxy service-nodeports { tcp . 30080 }
        delete element ip coxswain-proxy nodeport-endpoints { tcp . 30080 . 0, tcp . 30080 . 1 }
        delete element ip coxswain-proxy local-nodeports { tcp . 30080 }
        delete element ip coxswain-proxy local-nodeport-endpoints { tcp . 30080 . 0 }
        delete element ip coxswain-proxy hairpin-connections { 10.244.0.2 . 10.244.0.2 }
        add element ip coxswain-proxy service-nodeports { tcp . 30080 : goto nodeport-endpoints-1 }
        add element ip coxswain-proxy nodeport-endpoints { tcp . 30080 . 0 : 10.244.1.2 . 8080 }
        add element ip coxswain-proxy local-nodeports { tcp . 30080 : drop }
        add element ip coxswain-proxy no-endpoint-services { 10.96.0.10 . tcp . 80 : drop }
    "#]],
    );
}

#[test]
fn affinity_has_chains_of_its_own() {
    let mut services = empty();
    put_slice(&mut services, slice("web", "TCP", "10.244.0.2:8080 10.244.1.2:8080"));
    check(
        &mut services,
        |s| put(s, service("web", "10.96.0.10", "TCP", json!({"sessionAffinity": "ClientIP"}))),
        &expect![[r#"
            add chain ip coxswain-proxy endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080
            flush chain ip coxswain-proxy endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080
            add chain ip coxswain-proxy endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080
            flush chain ip coxswain-proxy endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080
            add chain ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p
            flush chain ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p
            add set ip coxswain-proxy affinity-10800s-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080 { type ipv4_addr; flags dynamic,timeout; timeout 10800s; }
            add set ip coxswain-proxy affinity-10800s-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080 { type ipv4_addr; flags dynamic,timeout; timeout 10800s; }
            add rule ip coxswain-proxy endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080 update @affinity-10800s-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080 { ip saddr }
            add rule ip coxswain-proxy endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080 meta l4proto tcp dnat to 10.244.0.2:8080
            add rule ip coxswain-proxy endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080 update @affinity-10800s-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080 { ip saddr }
            add rule ip coxswain-proxy endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080 meta l4proto tcp dnat to 10.244.1.2:8080
            add rule ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p ip saddr @affinity-10800s-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080 goto endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080
            add rule ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p ip saddr @affinity-10800s-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080 goto endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080
            add rule ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p numgen random mod 2 vmap { 0 : goto endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080, 1 : goto endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080 }
            add element ip coxswain-proxy cluster-ips { 10.96.0.10 }
            add element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 : goto sticky-6d9bca851871955c-default/web/tcp/p }
        "#]],
    );
    check(
        &mut services,
        |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080")),
        &expect![[r#"
        add chain ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p
        flush chain ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p
        add rule ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p ip saddr @affinity-10800s-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080 goto endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080
        add rule ip coxswain-proxy sticky-6d9bca851871955c-default/web/tcp/p numgen random mod 1 vmap { 0 : goto endpoint-7d4db02121cdab73-default/web/tcp/p/10.244.0.2/8080 }
        flush chain ip coxswain-proxy endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080
        delete chain ip coxswain-proxy endpoint-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080
        delete set ip coxswain-proxy affinity-10800s-a6974f3f3289526e-default/web/tcp/p/10.244.1.2/8080
    "#]],
    );
}

#[test]
fn two_services_cannot_have_one_outward_address() {
    let mut services = empty();
    for (name, ip) in [("b", "10.96.0.11"), ("a", "10.96.0.10")] {
        put(&mut services, service(name, ip, "TCP", json!({"externalIPs": ["203.0.113.1"]})));
        put_slice(&mut services, slice(name, "TCP", "10.244.0.2:8080"));
    }
    check(
        &mut services,
        |s| s.set_service(&"default/a".into(), None),
        &expect![[r#"
        delete element ip coxswain-proxy cluster-ips { 10.96.0.10 }
        delete element ip coxswain-proxy service-ips { 10.96.0.10 . tcp . 80 }
        delete element ip coxswain-proxy service-endpoints { 10.96.0.10 . tcp . 80 . 0 }
    "#]],
    );
}
