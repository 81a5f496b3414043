//! What the server says about itself, and how large answers travel.

use std::io::Read as _;

use expect_test::expect;
use http::Response;
use http_body_util::BodyExt as _;
use machinery::{Value, json};

use crate::world::World;

fn header<'a, B>(answer: &'a Response<B>, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let world = World::new().await;
    let body = format!(r#"{{"metadata":{{"name":"big"}},"data":{{"k":"{}"}}}}"#, "x".repeat(200_000));
    assert_eq!(world.ask("POST", "/api/v1/namespaces/ns/configmaps", &body).await.0, 201);
    let mut shown = Vec::new();
    for (path, encoding) in [
        ("/api/v1/configmaps", "gzip"),
        ("/api/v1/namespaces/ns/configmaps/big", "deflate, gzip"),
        ("/api/v1/namespaces/ns/configmaps/big", "br"),
        ("/api/v1/namespaces", "gzip"),
        ("/api/v1/configmaps?fieldSelector=metadata.name%3Dnone", "gzip"),
    ] {
        let answer = world.get(path, &[("accept-encoding", encoding)]).await;
        let is_gzip = header(&answer, "content-encoding") == "gzip";
        let mut text = String::new();
        if is_gzip {
            flate2::read::GzDecoder::new(&answer.body()[..]).read_to_string(&mut text).unwrap();
        } else {
            text.push_str(std::str::from_utf8(answer.body()).unwrap());
        }
        let kind = json::parse(text.as_bytes()).unwrap().str_at(&["kind"]).unwrap().to_owned();
        shown.push(format!("{path} {encoding}: {is_gzip} vary={} {kind}", header(&answer, "vary")));
    }
    expect![[r#"
        /api/v1/configmaps gzip: true vary=Accept-Encoding ConfigMapList
        /api/v1/namespaces/ns/configmaps/big deflate, gzip: true vary=Accept-Encoding ConfigMap
        /api/v1/namespaces/ns/configmaps/big br: false vary= ConfigMap
        /api/v1/namespaces gzip: false vary= NamespaceList
        /api/v1/configmaps?fieldSelector=metadata.name%3Dnone gzip: false vary= ConfigMapList"#]]
    .assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn openapi_is_kept_by_its_hash() {
    let world = World::new().await;
    let index = world.get("/openapi/v3", &[]).await;
    let index = json::parse(index.body()).unwrap();
    let url = index.str_at(&["paths", "apis/batch/v1", "serverRelativeURL"]).unwrap().to_owned();
    let document = world.get(&url, &[]).await;
    let tag = header(&document, "etag").to_owned();
    assert!(url.ends_with(tag.trim_matches('"')), "{url} {tag}");
    let v2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let mut shown = Vec::new();
    for (path, headers) in [
        (url.as_str(), [("if-none-match", tag.as_str()), ("accept", "*/*")]),
        ("/openapi/v3/apis/batch/v1", [("if-none-match", "\"x\""), ("accept", "application/json")]),
        ("/openapi/v3/apis/batch/v1?hash=OLD", [("if-none-match", ""), ("accept", "*/*")]),
        ("/openapi/v3/apis/odd/v1", [("if-none-match", ""), ("accept", "*/*")]),
        ("/openapi/v3/apis/batch/v1", [("if-none-match", ""), ("accept", "text/plain")]),
        ("/openapi/v2", [("if-none-match", ""), ("accept", v2)]),
        ("/openapi/v2", [("if-none-match", ""), ("accept", "*/*")]),
    ] {
        let answer = world.get(path, &headers).await;
        let (path, place) = (path.split("?hash").next().unwrap(), header(&answer, "location"));
        shown.push(format!(
            "{path} {}: {} {} {} {}",
            headers[1].1,
            answer.status().as_u16(),
            header(&answer, "content-type"),
            header(&answer, "cache-control"),
            place.split('=').next().unwrap(),
        ));
    }
    expect![[r#"
        /openapi/v3/apis/batch/v1 */*: 304  public, immutable 
        /openapi/v3/apis/batch/v1 application/json: 200 application/json  
        /openapi/v3/apis/batch/v1 */*: 301   /openapi/v3/apis/batch/v1?hash
        /openapi/v3/apis/odd/v1 */*: 404   
        /openapi/v3/apis/batch/v1 text/plain: 406   
        /openapi/v2 application/com.github.proto-openapi.spec.v2@v1.0+protobuf: 200 application/com.github.proto-openapi.spec.v2.v1.0+protobuf  
        /openapi/v2 */*: 200 application/json  "#]].assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn all_paths() {
    let world = World::new().await;
    let (code, index) = world.ask("GET", "/", "").await;
    assert_eq!(code, 200);
    let paths: Vec<&str> = index.items_at(&["paths"]).iter().filter_map(Value::as_str).collect();
    assert!(["/api", "/apis/apps/v1", "/livez/etcd", "/metrics/slis", "/version"].iter().all(|p| paths.contains(p)));
    // Below it are those of each group and version.
    for path in paths.into_iter().filter(|path| *path != "/openapi/v3/") {
        assert_eq!(world.ask("GET", path, "").await.0, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn methods_of_paths() {
    let world = World::new().await;
    let mut shown = Vec::new();
    for request in [
        "POST /",
        "DELETE /livez",
        "GET /livez/",
        "POST /openapi/v3",
        "GET /openapi/v2/",
        "GET /openapi/v3/",
        "POST /apis",
        "POST /apis/apps",
        "POST /apis/apps/v1",
        "POST /api",
        "POST /version",
        "GET /version/x",
        "PUT /openid/v1/jwks",
        "GET /nope",
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = world.send(method, path, "application/json", "").await;
        shown.push(format!("{request}: {} {}", answer.status().as_u16(), header(&answer, "content-type")));
    }
    for media in ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"] {
        let wanted = format!("{media};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        let answer = world.get("/api", &[("accept", &wanted)]).await;
        let again = world.get("/api", &[("accept", &wanted), ("if-none-match", header(&answer, "etag"))]).await;
        shown.push(format!("{} {}: {}", answer.status(), again.status().as_u16(), header(&answer, "content-type")));
    }
    for path in ["/api", "/apis", "/apis/apps"] {
        let (_, answer) = json_of(world.get(path, &[("accept", "text/html")]).await);
        shown.push(format!("{path}: {}", answer.str_at(&["message"]).unwrap().lines().next().unwrap()));
    }
    expect![[r#"
        POST /: 200 application/json
        DELETE /livez: 200 text/plain; charset=utf-8
        GET /livez/: 404 text/plain; charset=utf-8
        POST /openapi/v3: 200 application/json
        GET /openapi/v2/: 404 text/plain; charset=utf-8
        GET /openapi/v3/: 404 
        POST /apis: 200 application/json
        POST /apis/apps: 200 application/json
        POST /apis/apps/v1: 405 application/json
        POST /api: 405 application/json
        POST /version: 405 application/json
        GET /version/x: 404 application/json
        PUT /openid/v1/jwks: 405 application/json
        GET /nope: 404 text/plain; charset=utf-8
        200 OK 304: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList
        200 OK 304: application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList
        200 OK 304: application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList
        /api: 406: Not Acceptable
        /apis: only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf
        /apis/apps: only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"#]].assert_eq(&shown.join("\n"));
}

fn json_of(answer: Response<impl AsRef<[u8]>>) -> (u16, Value) {
    (answer.status().as_u16(), json::parse(answer.body().as_ref()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn metrics() {
    let world = World::new().await;
    world.play("POST cm {\"metadata\":{\"name\":\"a\"}}\nGET cm\nGET cm/a\nGET cm/b").await;
    let text = world.get("/metrics", &[]).await;
    let text = String::from_utf8(text.into_body().to_vec()).unwrap();
    const SHOWN: [&str; 5] = [
        "apiserver_request_total{",
        "apiserver_resource_objects{",
        "apiserver_storage_objects{",
        "apiserver_cache_list",
        "etcd_requests_total{",
    ];
    let wanted = |line: &&str| line.contains("\"configmaps\"") && SHOWN.iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> = text.lines().filter(wanted).collect();
    expect![[r#"
        apiserver_cache_list_fetched_objects_total{group="",index="",resource="configmaps"} 1
        apiserver_cache_list_returned_objects_total{group="",resource="configmaps"} 1
        apiserver_cache_list_total{group="",index="",resource="configmaps"} 1
        apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",system_client="",verb="LIST",version="v1"} 1
        apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",system_client="",verb="GET",version="v1"} 1
        apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",system_client="",verb="POST",version="v1"} 1
        apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",system_client="",verb="GET",version="v1"} 1
        apiserver_resource_objects{group="",resource="configmaps"} 1
        apiserver_storage_objects{resource="configmaps"} 1
        etcd_requests_total{group="",operation="create",resource="configmaps"} 1
        etcd_requests_total{group="",operation="get",resource="configmaps"} 2"#]].assert_eq(&lines.join("\n"));
    let text = world.get("/metrics", &[("accept", "application/openmetrics-text")]).await;
    assert!(header(&text, "content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(text.body().ends_with(b"# EOF\n"));
    let packed = world.get("/metrics", &[("accept-encoding", "gzip")]).await;
    assert_eq!((header(&packed, "content-encoding"), &packed.body()[..2]), ("gzip", &[0x1f, 0x8b][..]));
    let reset = world.send("DELETE", "/metrics", "", "").await;
    let body = reset.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&body[..], b"metrics reset\n");
    world.play("GET cm/b").await;
    let text = world.get("/metrics", &[]).await;
    let text = String::from_utf8(text.into_body().to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().filter(wanted).collect();
    expect![[r#"
        apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",system_client="",verb="GET",version="v1"} 1
        apiserver_resource_objects{group="",resource="configmaps"} 1
        apiserver_storage_objects{resource="configmaps"} 1
        etcd_requests_total{group="",operation="get",resource="configmaps"} 1"#]].assert_eq(&lines.join("\n"));
    let health = world.get("/metrics/slis", &[]).await;
    assert!(String::from_utf8_lossy(health.body()).contains("kubernetes_healthcheck{name=\"etcd\",type=\"livez\"} 1"));
}
