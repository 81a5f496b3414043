//! Status, scale, binding, eviction.

use expect_test::expect;

use crate::world::World;

const POD: &str =
    r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],"terminationGracePeriodSeconds":5}}"#;

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_evicted_and_gone() {
    let world = World::new().await;
    let pods = "/api/v1/namespaces/ns/pods";
    world.ask("POST", "/api/v1/namespaces/ns/serviceaccounts", r#"{"metadata":{"name":"default"}}"#).await;
    let (code, pod) = world.ask("POST", pods, POD).await;
    assert_eq!(code, 201, "{pod:?}");
    let mut shown = Vec::new();
    for (method, path, body) in [
        ("POST", "p/binding", r#"{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}}"#),
        ("POST", "p/binding", r#"{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n2"}}"#),
        ("PATCH", "p/status", r#"{"status":{"phase":"Running"},"spec":{"nodeName":"n2"}}"#),
        ("POST", "p/eviction", r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}"#),
        ("GET", "p", ""),
        ("DELETE", "p?gracePeriodSeconds=0", ""),
        ("GET", "p", ""),
    ] {
        let (code, answer) = world.ask(method, &format!("{pods}/{path}"), body).await;
        let text = |path: &[&str]| answer.str_at(path).unwrap_or_default().to_owned();
        let facts = [
            text(&["message"]),
            text(&["spec", "nodeName"]),
            text(&["status", "phase"]),
            text(&["metadata", "deletionTimestamp"]),
        ];
        shown.push(format!("{method} {path}: {code} {}", facts.join(" ").trim()));
    }
    expect![[r#"
        POST p/binding: 201 
        POST p/binding: 409 Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"
        PATCH p/status: 200 n1 Running
        POST p/eviction: 201 
        GET p: 200 n1 Running 2026-01-01T00:00:05Z
        DELETE p?gracePeriodSeconds=0: 200 n1 Running 2026-01-01T00:00:00Z
        GET p: 404 pods "p" not found"#]]
    .assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_another_namespace_is_refused() {
    let world = World::new().await;
    let accounts = "/api/v1/namespaces/ns/serviceaccounts";
    world.ask("POST", accounts, r#"{"metadata":{"name":"default"}}"#).await;
    assert_eq!(world.ask("POST", "/api/v1/namespaces/ns/pods", POD).await.0, 201);
    let mut shown = Vec::new();
    for (path, kind, rest) in [
        ("pods/p/eviction", r#""apiVersion":"policy/v1","kind":"Eviction""#, ""),
        ("pods/p/binding", r#""apiVersion":"v1","kind":"Binding""#, r#","target":{"kind":"Node","name":"n1"}"#),
        ("serviceaccounts/default/token", r#""apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest""#, ""),
    ] {
        for namespace in ["other", "ns"] {
            let name = path.split('/').nth(1).unwrap();
            let body = format!(r#"{{{kind},"metadata":{{"name":"{name}","namespace":"{namespace}"}}{rest}}}"#);
            // What is told to the right namespace is only tried.
            let (code, answer) = world.ask("POST", &format!("/api/v1/namespaces/ns/{path}?dryRun=All"), &body).await;
            shown.push(format!("{path} in {namespace}: {code} {}", answer.str_at(&["message"]).unwrap_or_default()));
        }
    }
    expect![[r#"
        pods/p/eviction in other: 400 the namespace of the provided object does not match the namespace sent on the request
        pods/p/eviction in ns: 201 
        pods/p/binding in other: 400 the namespace of the provided object does not match the namespace sent on the request
        pods/p/binding in ns: 201 
        serviceaccounts/default/token in other: 400 the namespace of the provided object does not match the namespace sent on the request
        serviceaccounts/default/token in ns: 201 "#]].assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_scaled() {
    let world = World::new().await;
    let template = r#"{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    let body = format!(
        r#"{{"metadata":{{"name":"d"}},"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{template}}}}}"#
    );
    let deployments = "/apis/apps/v1/namespaces/ns/deployments";
    assert_eq!(world.ask("POST", deployments, &body).await.0, 201);
    let shown = world
        .play(
            r#"
            GET /apis/apps/v1/namespaces/ns/deployments/d/scale
            PATCH /apis/apps/v1/namespaces/ns/deployments/d/scale {"spec":{"replicas":3}}
            PATCH /apis/apps/v1/namespaces/ns/deployments/d/scale {"spec":{"replicas":-1}}
        "#,
        )
        .await;
    expect![[r#"
        GET /apis/apps/v1/namespaces/ns/deployments/d/scale
          200 {"metadata":{"name":"d"},"spec":{"replicas":1},"status":{"replicas":0,"selector":"a=b"}}
        PATCH /apis/apps/v1/namespaces/ns/deployments/d/scale {"spec":{"replicas":3}}
          200 {"metadata":{"name":"d"},"spec":{"replicas":3},"status":{"replicas":0,"selector":"a=b"}}
        PATCH /apis/apps/v1/namespaces/ns/deployments/d/scale {"spec":{"replicas":-1}}
          422 Failure Scale.autoscaling "d" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#]].assert_eq(&shown);
}

/// A template of a pod whose labels are `a=b`.
const TEMPLATE: &str = r#"{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;

#[tokio::test(start_paused = true)]
async fn everything_with_replicas_is_scaled() {
    let world = World::new().await;
    let mut shown = Vec::new();
    for (path, selector) in [
        ("/apis/apps/v1/namespaces/ns/deployments", r#"{"matchLabels":{"a":"b"}}"#),
        ("/apis/apps/v1/namespaces/ns/replicasets", r#"{"matchLabels":{"a":"b"}}"#),
        ("/apis/apps/v1/namespaces/ns/statefulsets", r#"{"matchLabels":{"a":"b"}}"#),
        ("/api/v1/namespaces/ns/replicationcontrollers", r#"{"a":"b"}"#),
    ] {
        let body = format!(r#"{{"metadata":{{"name":"x"}},"spec":{{"selector":{selector},"template":{TEMPLATE}}}}}"#);
        let (code, created) = world.ask("POST", path, &body).await;
        assert_eq!(code, 201, "{created:?}");
        let put = r#"{"metadata":{"name":"x"},"spec":{"replicas":3}}"#;
        for (method, body) in [("PUT", put), ("PATCH", r#"{"spec":{"replicas":2}}"#), ("GET", "")] {
            let (code, scale) = world.ask(method, &format!("{path}/x/scale"), body).await;
            let (replicas, selector) = (scale.int_at(&["spec", "replicas"]), scale.str_at(&["status", "selector"]));
            shown.push(format!("{method} {path}/x/scale: {code} {replicas:?} {selector:?}"));
        }
        let (_, object) = world.ask("GET", &format!("{path}/x"), "").await;
        let generation = (object.int_at(&["metadata", "generation"]), object.int_at(&["spec", "replicas"]));
        shown.push(format!("{generation:?}"));
    }
    expect![[r#"
        PUT /apis/apps/v1/namespaces/ns/deployments/x/scale: 200 Some(3) Some("a=b")
        PATCH /apis/apps/v1/namespaces/ns/deployments/x/scale: 200 Some(2) Some("a=b")
        GET /apis/apps/v1/namespaces/ns/deployments/x/scale: 200 Some(2) Some("a=b")
        (Some(3), Some(2))
        PUT /apis/apps/v1/namespaces/ns/replicasets/x/scale: 200 Some(3) Some("a=b")
        PATCH /apis/apps/v1/namespaces/ns/replicasets/x/scale: 200 Some(2) Some("a=b")
        GET /apis/apps/v1/namespaces/ns/replicasets/x/scale: 200 Some(2) Some("a=b")
        (Some(3), Some(2))
        PUT /apis/apps/v1/namespaces/ns/statefulsets/x/scale: 200 Some(3) Some("a=b")
        PATCH /apis/apps/v1/namespaces/ns/statefulsets/x/scale: 200 Some(2) Some("a=b")
        GET /apis/apps/v1/namespaces/ns/statefulsets/x/scale: 200 Some(2) Some("a=b")
        (Some(3), Some(2))
        PUT /api/v1/namespaces/ns/replicationcontrollers/x/scale: 200 Some(3) Some("a=b")
        PATCH /api/v1/namespaces/ns/replicationcontrollers/x/scale: 200 Some(2) Some("a=b")
        GET /api/v1/namespaces/ns/replicationcontrollers/x/scale: 200 Some(2) Some("a=b")
        (Some(3), Some(2))"#]]
    .assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_pod() {
    let world = World::new().await;
    world.ask("POST", "/api/v1/namespaces/ns/serviceaccounts", r#"{"metadata":{"name":"default"}}"#).await;
    let pods = "/api/v1/namespaces/ns/pods";
    assert_eq!(world.ask("POST", pods, POD).await.0, 201);
    let debug = r#"{"spec":{"ephemeralContainers":[{"name":"d","image":"i"}]}}"#;
    let resized = r#"{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}"#;
    let mut shown = Vec::new();
    for (method, url, body) in [
        ("PATCH", format!("{pods}/p/ephemeralcontainers"), debug),
        ("PATCH", format!("{pods}/p"), debug),
        ("PATCH", format!("{pods}/p/resize"), resized),
        ("POST", "/api/v1/namespaces/ns/bindings".to_owned(), r#"{"metadata":{"name":"p"},"target":{"name":"n1"}}"#),
        ("POST", "/api/v1/namespaces/ns/bindings".to_owned(), r#"{"metadata":{"name":"q"},"target":{"name":"n1"}}"#),
        ("POST", "/api/v1/namespaces/other/bindings".to_owned(), r#"{"metadata":{"name":"p","namespace":"ns"}}"#),
        ("GET", format!("{pods}/p/proxy"), ""),
        ("GET", "/api/v1/namespaces/ns/services/s/proxy/".to_owned(), ""),
        ("GET", "/api/v1/nodes/n1/proxy/".to_owned(), ""),
        ("GET", "/api/v1/componentstatuses/etcd-0".to_owned(), ""),
        ("GET", "/api/v1/componentstatuses/odd".to_owned(), ""),
    ] {
        let (code, answer) = world.ask(method, &url, body).await;
        let text = |path: &[&str]| answer.str_at(path).unwrap_or_default().to_owned();
        let facts = [text(&["message"]).lines().next().unwrap_or_default().to_owned(), text(&["kind"])];
        shown.push(format!("{method} {url}: {code} {}", facts.join(" ").trim()));
    }
    let (_, pod) = world.ask("GET", &format!("{pods}/p"), "").await;
    shown.push(format!(
        "{:?} {:?}",
        pod.str_at(&["spec", "nodeName"]),
        pod.items_at(&["spec", "ephemeralContainers"]).len()
    ));
    expect![[r#"
        PATCH /api/v1/namespaces/ns/pods/p/ephemeralcontainers: 200 Pod
        PATCH /api/v1/namespaces/ns/pods/p: 200 Pod
        PATCH /api/v1/namespaces/ns/pods/p/resize: 422 Pod "p" is invalid: spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing Status
        POST /api/v1/namespaces/ns/bindings: 201 Status
        POST /api/v1/namespaces/ns/bindings: 404 pods "q" not found Status
        POST /api/v1/namespaces/other/bindings: 400 the namespace of the provided object does not match the namespace sent on the request Status
        GET /api/v1/namespaces/ns/pods/p/proxy: 400 address not allowed Status
        GET /api/v1/namespaces/ns/services/s/proxy/: 404 services "s" not found Status
        GET /api/v1/nodes/n1/proxy/: 404 nodes "n1" not found Status
        GET /api/v1/componentstatuses/etcd-0: 200 ComponentStatus
        GET /api/v1/componentstatuses/odd: 404 componentstatuses "odd" not found Status
        Some("n1") 1"#]].assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_spent() {
    let world = World::new().await;
    world.ask("POST", "/api/v1/namespaces/ns/serviceaccounts", r#"{"metadata":{"name":"default"}}"#).await;
    let (pods, budgets) = ("/api/v1/namespaces/ns/pods", "/apis/policy/v1/namespaces/ns/poddisruptionbudgets");
    for name in ["p", "q"] {
        let pod = POD.replacen(r#""name":"p""#, &format!(r#""name":"{name}","labels":{{"a":"b"}}"#), 1);
        assert_eq!(world.ask("POST", pods, &pod).await.0, 201);
        let ready = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
        world.ask("PATCH", &format!("{pods}/{name}/status"), ready).await;
    }
    let budget = r#"{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}}"#;
    world.ask("POST", budgets, budget).await;
    let mut shown = Vec::new();
    let mut evict = async |pod: &str| {
        let body = format!(r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}"}}}}"#);
        let answer = world.send("POST", &format!("{pods}/{pod}/eviction"), "application/json", &body).await;
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let code = answer.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        let status = machinery::json::parse(&bytes).unwrap();
        let cause = status.items_at(&["details", "causes"]).first().cloned().unwrap_or_default();
        shown.push(format!("{pod}: {code} {retry:?} {}", machinery::json::to_string(&cause)));
    };
    evict("p").await;
    let status = r#"{"status":{"observedGeneration":1,"disruptionsAllowed":1,"currentHealthy":2,"desiredHealthy":1,"expectedPods":2}}"#;
    world.ask("PATCH", &format!("{budgets}/b/status"), status).await;
    evict("p").await;
    evict("q").await;
    expect![[r#"
        p: 429 Some("10") {"reason":"DisruptionBudget","message":"The disruption budget b is still being processed by the server."}
        p: 201 None null
        q: 429 None {"reason":"DisruptionBudget","message":"The disruption budget b needs 1 healthy pods and has 2 currently"}"#]].assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_scale_is_applied() {
    let world = World::new().await;
    let deployments = "/apis/apps/v1/namespaces/ns/deployments";
    let body = r#"{"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},
        "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
    assert_eq!(world.ask("POST", deployments, body).await.0, 201);
    let mut shown = Vec::new();
    for (query, body) in [
        ("fieldManager=m", r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"}}"#),
        (
            "fieldManager=m",
            r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"paused":true}}"#,
        ),
        (
            "fieldManager=m",
            r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":3}}"#,
        ),
        (
            "fieldManager=m&force=true",
            r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":3}}"#,
        ),
    ] {
        let url = format!("{deployments}/d/scale?{query}");
        let answer = world.send("PATCH", &url, "application/apply-patch+yaml", body).await;
        let code = answer.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        let answer = machinery::json::parse(&bytes).unwrap();
        let replicas = answer.int_at(&["spec", "replicas"]).unwrap_or_default();
        shown.push(format!("{code} {replicas} {}", answer.str_at(&["message"]).unwrap_or_default()));
    }
    let (_, deployment) = world.ask("GET", &format!("{deployments}/d"), "").await;
    for entry in deployment.items_at(&["metadata", "managedFields"]) {
        let text = |name: &str| entry.str_at(&[name]).unwrap_or_default();
        let owns = entry.at(&["fieldsV1", "f:spec", "f:replicas"]).is_some();
        shown.push(format!("{} {} {} {owns}", text("manager"), text("operation"), text("subresource")));
    }
    expect![[r#"
        400 0 invalid object type: apps/v1, Kind=Deployment
        500 0 failed to create typed patch object (/d; autoscaling/v1, Kind=Scale): .spec.paused: field not declared in schema
        409 0 Apply failed with 1 conflict: conflict with "test" using autoscaling/v1: .spec.replicas
        200 3 
        m Apply scale true
        test Update  false"#]].assert_eq(&shown.join("\n"));
}
