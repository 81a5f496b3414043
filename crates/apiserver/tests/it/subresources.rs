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
