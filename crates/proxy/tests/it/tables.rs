//! Text in, text out: what a change of Services changes in the kernel.

use expect_test::{Expect, expect};
use proxy::{Services, diff, refresh, rules};
use serde_json::json;

use crate::objects::{put, put_slice, service, setting, slice};

fn empty() -> Services {
    Services::new(setting("192.168.0.1"))
}

/// What `change` makes of the rules, as nft reads it; also: the short way equals the long one.
fn check(services: &mut Services, change: impl FnOnce(&mut Services), expected: &Expect) {
    services.take_dirty();
    let before = rules(services);
    change(services);
    let dirty = services.take_dirty();
    let after = refresh(services, &before, &dirty);
    assert_eq!(after, rules(services));
    expected.assert_eq(&diff(Some(&before), &after).to_string());
}

#[test]
fn a_service_comes_changes_and_goes() {
    let mut services = empty();
    check(&mut services, |s| put(s, service("web", "10.96.0.10", "TCP", json!({}))), &expect![[r#""#]]);
    check(&mut services, |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080 10.244.1.2:8080")), &expect![[r#""#]]);
    check(
        &mut services,
        |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080 10.244.1.3:8080 10.244.1.4:8080!")),
        &expect![[r#""#]],
    );
    check(
        &mut services,
        |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080 10.244.0.3:8080@n1 10.244.1.3:8080")),
        &expect![[r#""#]],
    );
    check(&mut services, |s| s.set_service(&"default/web".into(), None), &expect![[r#""#]]);
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
        &expect![[r#""#]],
    );
    check(
        &mut services,
        |s| {
            let more = json!({"type": "NodePort", "nodePort": 30080, "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"});
            put(s, service("web", "10.96.0.10", "TCP", more));
        },
        &expect![[r#""#]],
    );
    check(&mut services, |s| put_slice(s, slice("web", "TCP", "10.244.1.2:8080")), &expect![[r#""#]]);
}

#[test]
fn affinity_has_chains_of_its_own() {
    let mut services = empty();
    put_slice(&mut services, slice("web", "TCP", "10.244.0.2:8080 10.244.1.2:8080"));
    check(
        &mut services,
        |s| put(s, service("web", "10.96.0.10", "TCP", json!({"sessionAffinity": "ClientIP"}))),
        &expect![[r#""#]],
    );
    check(&mut services, |s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080")), &expect![[r#""#]]);
}

#[test]
fn two_services_cannot_have_one_outward_address() {
    let mut services = empty();
    for (name, ip) in [("b", "10.96.0.11"), ("a", "10.96.0.10")] {
        put(&mut services, service(name, ip, "TCP", json!({"externalIPs": ["203.0.113.1"]})));
        put_slice(&mut services, slice(name, "TCP", "10.244.0.2:8080"));
    }
    check(&mut services, |s| s.set_service(&"default/a".into(), None), &expect![[r#""#]]);
}
