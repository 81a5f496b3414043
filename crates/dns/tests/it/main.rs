//! What the zone answers, question by question.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod serve;

use std::sync::Arc;

use dns::{Answer, Question, Zone, answer};
use expect_test::{Expect, expect};
use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

fn service(zone: &mut Zone, key: &str, spec: &Value) {
    let (namespace, name) = key.split_once('/').unwrap();
    let object = json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec});
    zone.set_service(&key.into(), Some(Arc::new(serde_json::from_value::<Service>(object).unwrap())));
}

fn slice(key: &str, family: &str, endpoints: &Value, ports: &Value) -> Arc<EndpointSlice> {
    let (namespace, name) = key.split_once('/').unwrap();
    let object = json!({
        "metadata": {"name": format!("{name}-1"), "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": family, "endpoints": endpoints, "ports": ports,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn zone() -> Zone {
    let mut zone = Zone::new("cluster.local");
    zone.set_namespace("default", true);
    zone.set_namespace("kube-system", true);
    service(&mut zone, "kube-system/kube-dns", &json!({"clusterIP": "10.96.0.10"}));
    let ports =
        json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "stats", "port": 9, "protocol": "UDP"}]);
    service(
        &mut zone,
        "default/web",
        &json!({"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5", "fd00::5"], "ports": ports}),
    );
    service(
        &mut zone,
        "default/db",
        &json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"name": "sql", "port": 5432}]}),
    );
    let endpoints = json!([
        {"addresses": ["10.244.0.7"], "hostname": "db-0"},
        {"addresses": ["10.244.1.8"]},
        {"addresses": ["10.244.1.9"], "hostname": "db-2", "conditions": {"ready": false}},
    ]);
    let db = slice("default/db", "IPv4", &endpoints, &json!([{"name": "sql", "port": 5432}]));
    zone.set_slice(&"default/db-1".into(), None, Some(db));
    service(&mut zone, "default/early", &json!({"clusterIP": "None", "publishNotReadyAddresses": true}));
    let early = slice(
        "default/early",
        "IPv4",
        &json!([{"addresses": ["10.244.0.9"], "conditions": {"ready": false}}]),
        &json!([]),
    );
    zone.set_slice(&"default/early-1".into(), None, Some(early));
    service(&mut zone, "default/empty", &json!({"clusterIP": "None"}));
    service(&mut zone, "default/out", &json!({"type": "ExternalName", "externalName": "example.com"}));
    service(&mut zone, "default/in", &json!({"type": "ExternalName", "externalName": "web.default.svc.cluster.local"}));
    service(
        &mut zone,
        "default/loop",
        &json!({"type": "ExternalName", "externalName": "loop.default.svc.cluster.local"}),
    );
    zone
}

fn check(questions: &str, expected: &Expect) {
    let zone = zone();
    let mut text = String::new();
    for line in questions.split_whitespace().collect::<Vec<_>>().chunks(2) {
        let question = Question { name: Name::from_ascii(line[0]).unwrap(), record_type: line[1].parse().unwrap() };
        text += &format!("{} {}\n", line[0], line[1]);
        let records = |section: &str, records: &[hickory_proto::rr::Record]| -> String {
            records.iter().map(|record| format!("  {section} {record}\n")).collect()
        };
        text += &match answer(&zone, &question) {
            Answer::Elsewhere => "  elsewhere\n".to_owned(),
            Answer::Alias { answers, target } => records("answer", &answers) + &format!("  then {target}\n"),
            Answer::Here { code, answers, authorities, additionals } => {
                let soa = if authorities.is_empty() { "" } else { ", SOA" };
                format!("  {code:?}{soa}\n") + &records("answer", &answers) + &records("beside", &additionals)
            }
        };
    }
    expected.assert_eq(&text);
}

#[test]
fn services_with_addresses() {
    check(
        "web.default.svc.cluster.local. A
         WEB.Default.svc.cluster.local. AAAA
         web.default.svc.cluster.local. MX
         _http._tcp.web.default.svc.cluster.local. SRV
         _http._udp.web.default.svc.cluster.local. SRV
         _udp.web.default.svc.cluster.local. A
         nothing.default.svc.cluster.local. A
         default.svc.cluster.local. A
         nowhere.svc.cluster.local. A
         5.0.96.10.in-addr.arpa. PTR
         6.0.96.10.in-addr.arpa. PTR
         5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR",
        &expect![[r#"
            web.default.svc.cluster.local. A
              NoError
              answer web.default.svc.cluster.local. 5 IN A 10.96.0.5
            WEB.Default.svc.cluster.local. AAAA
              NoError
              answer WEB.Default.svc.cluster.local. 5 IN AAAA fd00::5
            web.default.svc.cluster.local. MX
              NoError, SOA
            _http._tcp.web.default.svc.cluster.local. SRV
              NoError
              answer _http._tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local.
              beside web.default.svc.cluster.local. 5 IN A 10.96.0.5
              beside web.default.svc.cluster.local. 5 IN AAAA fd00::5
            _http._udp.web.default.svc.cluster.local. SRV
              NXDomain, SOA
            _udp.web.default.svc.cluster.local. A
              NoError, SOA
            nothing.default.svc.cluster.local. A
              NXDomain, SOA
            default.svc.cluster.local. A
              NoError, SOA
            nowhere.svc.cluster.local. A
              NXDomain, SOA
            5.0.96.10.in-addr.arpa. PTR
              NoError
              answer 5.0.96.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local.
            6.0.96.10.in-addr.arpa. PTR
              elsewhere
            5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR
              NoError
              answer 5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 IN PTR web.default.svc.cluster.local.
        "#]],
    );
}

#[test]
fn headless_services() {
    check(
        "db.default.svc.cluster.local. A
         db.default.svc.cluster.local. AAAA
         db-0.db.default.svc.cluster.local. A
         10-244-1-8.db.default.svc.cluster.local. A
         db-2.db.default.svc.cluster.local. A
         _sql._tcp.db.default.svc.cluster.local. SRV
         early.default.svc.cluster.local. A
         empty.default.svc.cluster.local. A
         7.0.244.10.in-addr.arpa. PTR",
        &expect![[r#"
            db.default.svc.cluster.local. A
              NoError
              answer db.default.svc.cluster.local. 5 IN A 10.244.0.7
              answer db.default.svc.cluster.local. 5 IN A 10.244.1.8
            db.default.svc.cluster.local. AAAA
              NoError, SOA
            db-0.db.default.svc.cluster.local. A
              NoError
              answer db-0.db.default.svc.cluster.local. 5 IN A 10.244.0.7
            10-244-1-8.db.default.svc.cluster.local. A
              NoError
              answer 10-244-1-8.db.default.svc.cluster.local. 5 IN A 10.244.1.8
            db-2.db.default.svc.cluster.local. A
              NXDomain, SOA
            _sql._tcp.db.default.svc.cluster.local. SRV
              NoError
              answer _sql._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 5432 db-0.db.default.svc.cluster.local.
              answer _sql._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 5432 10-244-1-8.db.default.svc.cluster.local.
              beside db-0.db.default.svc.cluster.local. 5 IN A 10.244.0.7
              beside 10-244-1-8.db.default.svc.cluster.local. 5 IN A 10.244.1.8
            early.default.svc.cluster.local. A
              NoError
              answer early.default.svc.cluster.local. 5 IN A 10.244.0.9
            empty.default.svc.cluster.local. A
              NoError, SOA
            7.0.244.10.in-addr.arpa. PTR
              NoError
              answer 7.0.244.10.in-addr.arpa. 5 IN PTR db-0.db.default.svc.cluster.local.
        "#]],
    );
}

#[test]
fn other_names() {
    check(
        "out.default.svc.cluster.local. A
         out.default.svc.cluster.local. CNAME
         in.default.svc.cluster.local. A
         loop.default.svc.cluster.local. CNAME
         10-244-0-7.default.pod.cluster.local. A
         10-244-0-7.nowhere.pod.cluster.local. A
         fd00--7.default.pod.cluster.local. AAAA
         dns-version.cluster.local. TXT
         cluster.local. SOA
         cluster.local. NS
         ns.dns.cluster.local. A
         svc.cluster.local. A
         other.cluster.local. A
         example.com. A
         cluster.locale. A",
        &expect![[r#"
            out.default.svc.cluster.local. A
              answer out.default.svc.cluster.local. 5 IN CNAME example.com.
              then example.com.
            out.default.svc.cluster.local. CNAME
              NoError
              answer out.default.svc.cluster.local. 5 IN CNAME example.com.
            in.default.svc.cluster.local. A
              NoError
              answer in.default.svc.cluster.local. 5 IN CNAME web.default.svc.cluster.local.
              answer web.default.svc.cluster.local. 5 IN A 10.96.0.5
            loop.default.svc.cluster.local. CNAME
              NoError
              answer loop.default.svc.cluster.local. 5 IN CNAME loop.default.svc.cluster.local.
            10-244-0-7.default.pod.cluster.local. A
              NoError
              answer 10-244-0-7.default.pod.cluster.local. 5 IN A 10.244.0.7
            10-244-0-7.nowhere.pod.cluster.local. A
              NXDomain, SOA
            fd00--7.default.pod.cluster.local. AAAA
              NoError
              answer fd00--7.default.pod.cluster.local. 5 IN AAAA fd00::7
            dns-version.cluster.local. TXT
              NoError
              answer dns-version.cluster.local. 5 IN TXT 1.1.0
            cluster.local. SOA
              NoError
              answer cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 13 7200 1800 86400 5
            cluster.local. NS
              NoError
              answer cluster.local. 5 IN NS ns.dns.cluster.local.
              beside ns.dns.cluster.local. 5 IN A 10.96.0.10
            ns.dns.cluster.local. A
              NoError
              answer ns.dns.cluster.local. 5 IN A 10.96.0.10
            svc.cluster.local. A
              NoError, SOA
            other.cluster.local. A
              NXDomain, SOA
            example.com. A
              elsewhere
            cluster.locale. A
              elsewhere
        "#]],
    );
}

#[test]
fn names_go_with_their_service() {
    let mut zone = zone();
    zone.set_service(&"default/db".into(), None);
    let question =
        Question { name: Name::from_ascii("7.0.244.10.in-addr.arpa.").unwrap(), record_type: "PTR".parse().unwrap() };
    assert_eq!(answer(&zone, &question), Answer::Elsewhere);
}
