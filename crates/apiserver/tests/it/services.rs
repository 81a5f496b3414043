//! Addresses and node ports of services, alone and shared by several servers, and where the servers are reached.

use std::collections::BTreeSet;
use std::time::Duration;

use apiserver::{Options, PortRange};
use base::Clock;
use expect_test::expect;
use machinery::{Value, meta};
use store::{Change, Expect};

use crate::world::World;

const SERVICES: &str = "/api/v1/namespaces/ns/services";
const RANGE: &str = r#"{"metadata":{"name":"kubernetes"},"spec":{"cidrs":["10.96.0.0/28"]}}"#;

fn clock() -> Clock {
    Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap())
}

async fn world_with_range() -> World {
    let world = World::new().await;
    let (code, _) = world.ask("POST", "/apis/networking.k8s.io/v1/servicecidrs", RANGE).await;
    assert_eq!(code, 201);
    world
}

/// The IPAddresses, each with the service that has it.
async fn addresses(world: &World) -> String {
    let (_, list) = world.ask("GET", "/apis/networking.k8s.io/v1/ipaddresses", "").await;
    let items = list.items_at(&["items"]).iter();
    let part = |item: &Value, field: &str| item.str_at(&["spec", "parentRef", field]).unwrap_or_default().to_owned();
    let shown = items.map(|item| format!("{} {}/{}", meta::name(item), part(item, "namespace"), part(item, "name")));
    shown.collect::<Vec<_>>().join(", ")
}

/// Plays a scenario on services; answers are shown as code, message or addresses and ports.
async fn play(world: &World, script: &str) -> String {
    let mut shown = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (method, name, body) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
        let (code, answer) = world.ask(method, &format!("{SERVICES}{}", name.trim_start_matches('.')), body).await;
        let ports: Vec<i64> =
            answer.items_at(&["spec", "ports"]).iter().filter_map(|p| p.int_at(&["nodePort"])).collect();
        let ips: Vec<&str> = answer.items_at(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str).collect();
        let outcome = match code {
            200 | 201 => format!("{} {ports:?}", ips.join(",")),
            _ => answer.str_at(&["message"]).unwrap_or_default().to_owned(),
        };
        shown.push(format!("{method} {name} {code} {outcome}"));
    }
    shown.join("\n")
}

#[tokio::test(start_paused = true)]
async fn an_address_is_an_object() {
    let world = world_with_range().await;
    let shown = play(
        &world,
        r#"
        POST . {"metadata":{"name":"a"},"spec":{"ports":[{"port":80}],"clusterIP":"10.96.0.9"}}
        POST . {"metadata":{"name":"b"},"spec":{"ports":[{"port":80}],"clusterIP":"10.96.0.9"}}
        POST . {"metadata":{"name":"a"},"spec":{"ports":[{"port":80}],"clusterIP":"10.96.0.9"}}
        POST . {"metadata":{"name":"a"},"spec":{"ports":[{"port":80}],"clusterIP":"10.96.0.8"}}
        POST . {"metadata":{"name":"b"},"spec":{"ports":[{"port":80}],"clusterIP":"10.97.0.9"}}
        POST . {"metadata":{"name":"b"},"spec":{"ports":[{"port":80}],"clusterIP":"10.96.0.0"}}
        POST .?dryRun=All {"metadata":{"name":"b"},"spec":{"ports":[{"port":80}]}}
        POST . {"metadata":{"name":"h"},"spec":{"ports":[{"port":80}],"clusterIP":"None"}}
        "#,
    )
    .await;
    expect![[r#"
        POST . 201 10.96.0.9 []
        POST . 422 Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.9"]: failed to allocate IP 10.96.0.9: provided IP is already allocated
        POST . 422 Service "a" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.9"]: failed to allocate IP 10.96.0.9: provided IP is already allocated
        POST . 409 services "a" already exists
        POST . 422 Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.97.0.9"]: failed to allocate IP 10.97.0.9: the provided network does not match the current range
        POST . 422 Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.0"]: failed to allocate IP 10.96.0.0: the provided network does not match the current range
        POST .?dryRun=All 201 10.96.0.0 []
        POST . 201 None []"#]]
    .assert_eq(&shown);
    expect!["10.96.0.9 ns/a"].assert_eq(&addresses(&world).await);
    let (_, address) = world.ask("GET", "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.9", "").await;
    expect![[r#"{"metadata":{"name":"10.96.0.9","labels":{"ipaddress.kubernetes.io/ip-family":"IPv4","ipaddress.kubernetes.io/managed-by":"ipallocator.k8s.io"}},"spec":{"parentRef":{"resource":"services","namespace":"ns","name":"a"}}}"#]].assert_eq(&crate::world::show(&address));
    expect![[r#"[{"manager":"kube-apiserver","operation":"Update","apiVersion":"networking.k8s.io/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:ipaddress.kubernetes.io/ip-family":{},"f:ipaddress.kubernetes.io/managed-by":{}}},"f:spec":{"f:parentRef":{".":{},"f:name":{},"f:namespace":{},"f:resource":{}}}}}]"#]].assert_eq(&machinery::json::to_string(address.at(&["metadata", "managedFields"]).unwrap()));
    let shown = play(
        &world,
        r#"
        PATCH /a {"spec":{"type":"ExternalName","externalName":"a.b","clusterIP":"","clusterIPs":null}}
        POST . {"metadata":{"name":"b"},"spec":{"ports":[{"port":80}],"clusterIP":"10.96.0.9"}}
        DELETE /b
        "#,
    )
    .await;
    expect![[r#"
        PATCH /a 200  []
        POST . 201 10.96.0.9 []
        DELETE /b 200 10.96.0.9 []"#]]
    .assert_eq(&shown);
    expect![[r#""#]].assert_eq(&addresses(&world).await);
}

#[tokio::test(start_paused = true)]
async fn a_range_can_be_full() {
    let world = world_with_range().await;
    let mut outcomes = String::new();
    for i in 0..15 {
        let body = format!(r#"{{"metadata":{{"name":"s{i}"}},"spec":{{"ports":[{{"port":80}}]}}}}"#);
        let (code, answer) = world.ask("POST", SERVICES, &body).await;
        if code != 201 {
            outcomes += &format!("{i}: {code} {}", answer.str_at(&["message"]).unwrap_or_default());
        }
    }
    expect!["14: 500 Internal error occurred: failed to allocate a serviceIP: range is full"].assert_eq(&outcomes);
    let again =
        play(&world, "DELETE /s3\nPOST . {\"metadata\":{\"name\":\"t\"},\"spec\":{\"ports\":[{\"port\":80}]}}").await;
    assert!(again.contains("POST . 201"), "{again}");
}

#[tokio::test(start_paused = true)]
async fn node_ports() {
    let world = world_with_range().await;
    let shown = play(
        &world,
        r#"
        POST . {"metadata":{"name":"a"},"spec":{"type":"NodePort","ports":[{"name":"u","port":53,"protocol":"UDP"},{"name":"t","port":53,"nodePort":30053}]}}
        POST . {"metadata":{"name":"b"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30053}]}}
        POST . {"metadata":{"name":"b"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":80}]}}
        POST .?dryRun=All {"metadata":{"name":"b"},"spec":{"type":"NodePort","ports":[{"name":"x","port":80},{"name":"y","port":81}]}}
        PATCH /a {"spec":{"type":"ClusterIP"}}
        POST . {"metadata":{"name":"b"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30053}]}}
        DELETE /b
        POST . {"metadata":{"name":"c"},"spec":{"type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"externalTrafficPolicy":"Local","healthCheckNodePort":30053,"ports":[{"port":80}]}}
        POST . {"metadata":{"name":"d"},"spec":{"type":"LoadBalancer","externalTrafficPolicy":"Local","healthCheckNodePort":30053,"ports":[{"port":80}]}}
        "#,
    )
    .await;
    expect![[r#"
        POST . 201 10.96.0.12 [30053, 30053]
        POST . 422 Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30053: provided port is already allocated
        POST . 422 Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767
        POST .?dryRun=All 201 10.96.0.0 [32769, 32770]
        PATCH /a 200 10.96.0.12 []
        POST . 201 10.96.0.4 [30053]
        DELETE /b 200 10.96.0.4 [30053]
        POST . 201 10.96.0.6 []
        POST . 500 Internal error occurred: failed to allocate requested HealthCheck NodePort 30053: provided port is already allocated"#]]
    .assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn what_crashes_leave_is_repaired() {
    let (store, clock) = (store::memory::open(clock()), clock());
    let world = World::over(store.clone(), clock.clone(), Options::default()).await;
    for name in ["ns", "default"] {
        world.ask("POST", "/api/v1/namespaces", &format!(r#"{{"metadata":{{"name":"{name}"}}}}"#)).await;
    }
    world.ask("POST", "/apis/networking.k8s.io/v1/servicecidrs", RANGE).await;
    play(&world, r#"POST . {"metadata":{"name":"a"},"spec":{"type":"NodePort","clusterIP":"10.96.0.9","ports":[{"port":80,"nodePort":30080}]}}"#).await;
    // Between the address and the service, and the other way around.
    let orphan = r#"{"metadata":{"name":"10.96.0.5","labels":{"ipaddress.kubernetes.io/managed-by":"ipallocator.k8s.io","ipaddress.kubernetes.io/ip-family":"IPv4"}},"spec":{"parentRef":{"resource":"services","namespace":"ns","name":"gone"}}}"#;
    world.ask("POST", "/apis/networking.k8s.io/v1/ipaddresses", orphan).await;
    store.write("/registry/ipaddresses/10.96.0.9", Expect::Any, Change::Delete).await.unwrap();
    store.write("/registry/ranges/servicenodeports", Expect::Any, Change::Delete).await.unwrap();
    clock.sleep(Duration::from_secs(1)).await;
    expect!["10.96.0.5 ns/gone, 10.96.0.9 ns/a"].assert_eq(&addresses(&world).await);
    clock.sleep(Duration::from_secs(400)).await;
    expect!["10.96.0.9 ns/a"].assert_eq(&addresses(&world).await);
    let (entry, _) = store.get("/registry/ranges/servicenodeports", None).await.unwrap();
    expect![[
        r#"{"kind":"RangeAllocation","apiVersion":"v1","metadata":{},"range":"30000-32767","data":"AQAAAAAAAAAAAAA="}"#
    ]]
    .assert_eq(&String::from_utf8_lossy(&entry.unwrap().value));
    let (_, events) = world.ask("GET", "/api/v1/events", "").await;
    let events = events.items_at(&["items"]).iter().map(|event| {
        let text = |field: &str| event.str_at(&[field]).unwrap_or_default();
        format!(
            "{} {} {}",
            text("reason"),
            event.str_at(&["involvedObject", "kind"]).unwrap_or_default(),
            text("message")
        )
    });
    expect![[r#"
        IPAddressNotAllocated IPAddress IPAddress: 10.96.0.5 for Service ns/gone appears to have leaked: cleaning up
        ClusterIPNotAllocated Service Cluster IP [IPv4]: 10.96.0.9 is not allocated; repairing"#]]
    .assert_eq(&events.collect::<Vec<_>>().join("\n"));
}

fn with_ports(range: &str) -> Options {
    Options { node_ports: range.parse::<PortRange>().unwrap(), ..Options::default() }
}

#[tokio::test(start_paused = true)]
async fn another_range_of_node_ports() {
    let (store, clock) = (store::memory::open(clock()), clock());
    let world = World::over(store.clone(), clock.clone(), with_ports("30000-30002")).await;
    for name in ["ns", "default"] {
        world.ask("POST", "/api/v1/namespaces", &format!(r#"{{"metadata":{{"name":"{name}"}}}}"#)).await;
    }
    world.ask("POST", "/apis/networking.k8s.io/v1/servicecidrs", RANGE).await;
    let shown = play(
        &world,
        r#"
        POST . {"metadata":{"name":"a"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30001}]}}
        POST . {"metadata":{"name":"b"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30003}]}}
        POST . {"metadata":{"name":"b"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30002}]}}
        POST . {"metadata":{"name":"c"},"spec":{"type":"NodePort","ports":[{"port":80}]}}
        POST . {"metadata":{"name":"d"},"spec":{"type":"NodePort","ports":[{"port":80}]}}
        "#,
    )
    .await;
    expect![[r#"
        POST . 201 10.96.0.2 [30001]
        POST . 422 Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30003: provided port is not in the valid range. The range of valid ports is 30000-30002
        POST . 201 10.96.0.7 [30002]
        POST . 201 10.96.0.4 [30000]
        POST . 500 Internal error occurred: failed to allocate a nodePort: range is full"#]].assert_eq(&shown);
    drop(world);
    // The next server has a range that leaves some of them out.
    let world = World::over(store.clone(), clock.clone(), with_ports("30002+2")).await;
    clock.sleep(Duration::from_secs(400)).await;
    let shown = play(
        &world,
        r#"
        POST . {"metadata":{"name":"d"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30001}]}}
        POST . {"metadata":{"name":"d"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30002}]}}
        POST . {"metadata":{"name":"d"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30004}]}}
        PATCH /a {"metadata":{"labels":{"a":"b"}}}
        DELETE /a
        "#,
    )
    .await;
    expect![[r#"
        POST . 422 Service "d" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is not in the valid range. The range of valid ports is 30002-30004
        POST . 422 Service "d" is invalid: spec.ports[0].nodePort: Invalid value: 30002: provided port is already allocated
        POST . 201 10.96.0.6 [30004]
        PATCH /a 200 10.96.0.2 [30001]
        DELETE /a 200 10.96.0.2 [30001]"#]].assert_eq(&shown);
    let (entry, _) = store.get("/registry/ranges/servicenodeports", None).await.unwrap();
    expect![[r#"{"kind":"RangeAllocation","apiVersion":"v1","metadata":{},"range":"30002-30004","data":"BQ=="}"#]]
        .assert_eq(&String::from_utf8_lossy(&entry.unwrap().value));
    expect![[r#"
        apiserver_clusterip_repair_reconcile_errors_total 0
        apiserver_nodeport_repair_port_errors_total{type="outOfRange"} 6
        apiserver_nodeport_repair_reconcile_errors_total 0
        kube_apiserver_clusterip_allocator_allocated_ips{cidr="10.96.0.0/28"} 4
        kube_apiserver_clusterip_allocator_allocation_total{cidr="10.96.0.0/28",scope="dynamic"} 3
        kube_apiserver_clusterip_allocator_available_ips{cidr="10.96.0.0/28"} 10
        kube_apiserver_nodeport_allocator_allocated_ports 2
        kube_apiserver_nodeport_allocator_allocation_errors_total{scope="static"} 2
        kube_apiserver_nodeport_allocator_allocation_total{scope="static"} 1
        kube_apiserver_nodeport_allocator_available_ports 1"#]]
    .assert_eq(&metrics(&world).await);
}

/// What is counted of addresses and ports, durations left out.
async fn metrics(world: &World) -> String {
    let text = world.get("/metrics", &[]).await.into_body();
    let text = String::from_utf8_lossy(&text).into_owned();
    let of_allocation = |line: &&str| line.contains("_allocator_") || line.contains("_repair_");
    let lines = text.lines().filter(of_allocation).filter(|line| !line.starts_with('#') && !line.contains("_seconds_"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn two_servers_give_nothing_twice() {
    let (store, clock) = (store::memory::open(clock()), clock());
    // Both draw the same numbers, so they want the same addresses and ports.
    let first = World::over(store.clone(), clock.clone(), Options::default()).await;
    let second = World::over(store, clock, Options::default()).await;
    first.ask("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"ns"}}"#).await;
    let range = r#"{"metadata":{"name":"kubernetes"},"spec":{"cidrs":["10.96.0.0/24"]}}"#;
    first.ask("POST", "/apis/networking.k8s.io/v1/servicecidrs", range).await;
    let create = async |world: &World, name: String| {
        let spec = r#"{"type":"NodePort","ports":[{"port":80}]}"#;
        let body = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{spec}}}"#);
        let (code, service) = world.ask("POST", SERVICES, &body).await;
        assert_eq!(code, 201, "{service:?}");
        let port = service.items_at(&["spec", "ports"])[0].int_at(&["nodePort"]).unwrap();
        (service.str_at(&["spec", "clusterIP"]).unwrap().to_owned(), port)
    };
    let pairs =
        (0..100).map(async |i| futures::join!(create(&first, format!("a{i}")), create(&second, format!("b{i}"))));
    let made: Vec<_> = futures::future::join_all(pairs).await.into_iter().flat_map(|(a, b)| [a, b]).collect();
    let (ips, ports): (BTreeSet<_>, BTreeSet<_>) = made.iter().cloned().unzip();
    assert_eq!((ips.len(), ports.len()), (200, 200));
}

/// The addresses of the service `kubernetes` in both forms.
async fn announced(world: &World) -> String {
    let (_, endpoints) = world.ask("GET", "/api/v1/namespaces/default/endpoints/kubernetes", "").await;
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let (_, slice) = world.ask("GET", slice, "").await;
    let old = endpoints.items_at(&["subsets"]).iter().flat_map(|subset| subset.items_at(&["addresses"]));
    let old: Vec<&str> = old.filter_map(|address| address.str_at(&["ip"])).collect();
    let new = slice.items_at(&["endpoints"]).iter().flat_map(|endpoint| endpoint.items_at(&["addresses"]));
    let new: Vec<&str> = new.filter_map(Value::as_str).collect();
    format!("{} / {}", old.join(" "), new.join(" "))
}

#[tokio::test(start_paused = true)]
async fn servers_are_announced_while_they_live() {
    let (store, clock) = (store::memory::open(clock()), clock());
    let options = || Options {
        service_ranges: vec!["10.96.0.0/24".parse().unwrap(), "fd00::/112".parse().unwrap()],
        ..Options::default()
    };
    let first = World::over(store.clone(), clock.clone(), options()).await;
    let second = World::over(store.clone(), clock.clone(), options()).await;
    let first_end = first.begin("192.0.2.1").await;
    assert_eq!(announced(&first).await, "192.0.2.1 / 192.0.2.1");
    let _second_end = second.begin("192.0.2.2").await;
    assert_eq!(announced(&first).await, "192.0.2.1 192.0.2.2 / 192.0.2.1 192.0.2.2");
    clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(announced(&first).await, "192.0.2.1 192.0.2.2 / 192.0.2.1 192.0.2.2");
    first_end.cancel();
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(announced(&second).await, "192.0.2.2 / 192.0.2.2", "it said so");
    let dead = r#"{"kind":"Endpoints","apiVersion":"v1","metadata":{},"subsets":[{"addresses":[{"ip":"192.0.2.3"}]}]}"#;
    let put = Change::Put { value: dead.into(), ttl: Some(Duration::from_secs(15)) };
    store.write("/registry/masterleases/192.0.2.3", Expect::Any, put).await.unwrap();
    clock.sleep(Duration::from_secs(11)).await;
    assert_eq!(announced(&second).await, "192.0.2.2 192.0.2.3 / 192.0.2.2 192.0.2.3");
    clock.sleep(Duration::from_secs(30)).await;
    assert_eq!(announced(&second).await, "192.0.2.2 / 192.0.2.2", "it ran out");
    let (_, range) = second.ask("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", "").await;
    expect![[r#"{"metadata":{"name":"kubernetes"},"spec":{"cidrs":["10.96.0.0/24","fd00::/112"]},"status":{"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"","message":"Kubernetes default Service CIDR is ready"}]}}"#]].assert_eq(&crate::world::show(&range));
    second.ask("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"ns"}}"#).await;
    let shown = play(
        &second,
        r#"
        POST . {"metadata":{"name":"a"},"spec":{"ports":[{"port":80}],"ipFamilyPolicy":"PreferDualStack"}}
        PATCH /a {"spec":{"ipFamilyPolicy":"SingleStack"}}
        PATCH /a {"spec":{"ipFamilyPolicy":"RequireDualStack"}}
        DELETE /a
        "#,
    )
    .await;
    expect![[r#"
        POST . 201 10.96.0.200,fd00::ff57 []
        PATCH /a 200 10.96.0.200 []
        PATCH /a 200 10.96.0.200,fd00::8abe []
        DELETE /a 200 10.96.0.200,fd00::8abe []"#]]
    .assert_eq(&shown);
    expect!["10.96.0.1 default/kubernetes"].assert_eq(&addresses(&second).await);
}
