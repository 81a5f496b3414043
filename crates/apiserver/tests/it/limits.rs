//! What is too much, and what is not there.

use apiserver::{Options, User};
use expect_test::expect;
use machinery::json;

use crate::world::{World, show};

#[tokio::test(start_paused = true)]
async fn bad_requests() {
    let world = World::new().await;
    let mut shown = world
        .play(
            r#"
            GET /nope
            GET /apis/apps/v9
            GET /apis/apps/v1/nopes
            GET cm/a/nope
            POST cm/a {}
            POST cm x
            POST cm [1]
            PATCH cm/a x
            POST cm null
            POST cm {"kind":5}
            POST cm {"metadata":{"name":"a","resourceVersion":"5"}}
            POST cm?dryRun=All {"metadata":{"name":"a","resourceVersion":"0"}}
            GET cm/..
            GET cm/a%25b
            GET cm/a%2Fb
            GET /api/v1/configmaps/a
            GET /api/v1/namespaces/ns/nodes/a
            POST /api/v1/watch/configmaps {}
            GET /api/v1/pods?fieldSelector=status.podIPs%3Dx,spec.host%3Dx
        "#,
        )
        .await;
    let huge = format!(r#"{{"metadata":{{"name":"a"}},"data":{{"k":"{}"}}}}"#, "x".repeat(3_200_000));
    let deep = "[".repeat(2_000);
    for body in [huge, deep] {
        let (code, answer) = world.ask("POST", "/api/v1/namespaces/ns/configmaps", &body).await;
        let text: String = show(&answer).chars().take(160).collect();
        shown = format!("{shown}\n{code} {text}");
    }
    let answer = world.send("POST", "/api/v1/namespaces/ns/configmaps", "text/plain", "{}").await;
    expect![[r#"
        GET /nope
          404 404 page not found
        GET /apis/apps/v9
          404 Failure the server could not find the requested resource
        GET /apis/apps/v1/nopes
          404 Failure the server could not find the requested resource
        GET cm/a/nope
          404 Failure the server could not find the requested resource
        POST cm/a {}
          405 Failure the server does not allow this method on the requested resource
        POST cm x
          400 Failure the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character 'x' looking for beginning of value (78)
        POST cm [1]
          400 Failure the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" } (5b315d)
        PATCH cm/a x
          404 Failure configmaps "a" not found
        POST cm null
          422 Failure ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required
        POST cm {"kind":5}
          400 Failure the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({"kind":5})
        POST cm {"metadata":{"name":"a","resourceVersion":"5"}}
          500 Failure resourceVersion should not be set on objects to be created
        POST cm?dryRun=All {"metadata":{"name":"a","resourceVersion":"0"}}
          201 {"metadata":{"name":"a"}}
        GET cm/..
          400 Failure Name parameter invalid: "..": may not be '..'
        GET cm/a%25b
          400 Failure Name parameter invalid: "a%b": may not contain '%'
        GET cm/a%2Fb
          404 Failure the server could not find the requested resource
        GET /api/v1/configmaps/a
          404 Failure the server could not find the requested resource
        GET /api/v1/namespaces/ns/nodes/a
          404 Failure the server could not find the requested resource
        POST /api/v1/watch/configmaps {}
          405 Failure the server does not allow this method on the requested resource
        GET /api/v1/pods?fieldSelector=status.podIPs%3Dx,spec.host%3Dx
          200 []
        413 Failure Request entity too large: limit is 3145728
        400 Failure the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character '[' exceeded max depth (
        415 Unsupported Media Type"#]].assert_eq(&format!("{shown}\n{}", answer.status()));
}

#[tokio::test(start_paused = true)]
async fn too_many_requests() {
    let world = World::with(Options { max_requests_in_flight: 0, ..Options::default() }).await;
    let answer = world.request(User::new("jane", &[]), ("GET", "/api/v1/pods"), &[], "").await;
    let shown = (answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap(), answer.body().as_ref());
    assert_eq!(shown, (429, "1", &b"Too many requests, please try again later.\n"[..]));
    // Who has to mend the server always gets in.
    assert_eq!(world.ask("GET", "/api/v1/pods", "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn methods_and_times() {
    let world = World::new().await;
    let mut shown = Vec::new();
    for (method, url) in [
        ("HEAD", "/api/v1/namespaces"),
        ("OPTIONS", "/api/v1/namespaces"),
        ("BREW", "/api/v1/namespaces/ns"),
        ("HEAD", "/livez"),
        ("HEAD", "/apis"),
        ("POST", "/apis/apps/v1"),
        ("GET", "/api/v1/namespaces/ns?timeout=1"),
        ("GET", "/api/v1/namespaces/ns?timeout=soon"),
        ("GET", "/api/v1/namespaces?timeout=5s"),
    ] {
        let answer = world.request(User::new("admin", &["system:masters"]), (method, url), &[], "").await;
        let body = json::parse(answer.body()).map(|body| show(&body)).unwrap_or_default();
        shown.push(format!("{method} {url}: {} {body}", answer.status().as_u16()));
    }
    expect![[r#"
        HEAD /api/v1/namespaces: 405 
        OPTIONS /api/v1/namespaces: 405 Failure the server does not allow this method on the requested resource
        BREW /api/v1/namespaces/ns: 405 Failure the server does not allow this method on the requested resource
        HEAD /livez: 200 
        HEAD /apis: 200 
        POST /apis/apps/v1: 405 Failure the server does not allow this method on the requested resource
        GET /api/v1/namespaces/ns?timeout=1: 400 Failure invalid timeout specified in the request URL - time: missing unit in duration "1"
        GET /api/v1/namespaces/ns?timeout=soon: 400 Failure invalid timeout specified in the request URL - time: invalid duration "soon"
        GET /api/v1/namespaces?timeout=5s: 200 [ns]"#]].assert_eq(&shown.join("\n"));
}
