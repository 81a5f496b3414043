//! The same objects as JSON, YAML and protobuf, and what is not spoken.

use apiserver::User;
use bytes::Bytes;
use expect_test::expect;
use http::Response;
use machinery::{json, proto, schema, yaml};

use crate::world::{World, show};

const CONFIG_MAPS: &str = "/api/v1/namespaces/ns/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

async fn ask(world: &World, to: (&str, &str), headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    world.request(User::new("admin", &["system:masters"]), to, headers, body).await
}

/// Code, media type and content of an answer in whatever encoding it has.
fn told(answer: &Response<Bytes>) -> String {
    let media_type = answer.headers().get("content-type").map_or("", |value| value.to_str().unwrap());
    let value = match media_type {
        PROTOBUF => {
            let envelope = proto::open(answer.body()).unwrap();
            let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", &envelope.api_version));
            proto::decode(schema::of_kind(group, version, &envelope.kind).unwrap(), &envelope).unwrap()
        }
        "application/yaml" => yaml::parse(std::str::from_utf8(answer.body()).unwrap()).unwrap(),
        _ => json::parse(answer.body()).unwrap(),
    };
    let kind = value.str_at(&["kind"]).unwrap_or_default();
    format!("{} {media_type} {kind} {}", answer.status().as_u16(), show(&value))
}

#[tokio::test(start_paused = true)]
async fn every_way_in_and_out() {
    let world = World::new().await;
    let yaml = "metadata:\n  name: one\ndata:\n  k: v\n";
    let mut shown =
        vec![told(&ask(&world, ("POST", CONFIG_MAPS), &[("content-type", "application/yaml")], yaml).await)];
    let partial = "as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let partials = "as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    for (path, accept) in [
        ("/one", PROTOBUF.to_owned()),
        ("/one", "application/yaml".to_owned()),
        ("/one", format!("{PROTOBUF};{partial}")),
        ("", PROTOBUF.to_owned()),
        ("", format!("{PROTOBUF};{partials}")),
        ("", format!("{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io")),
        ("/none", PROTOBUF.to_owned()),
        ("/none", "application/yaml".to_owned()),
        ("/one", "application/cbor".to_owned()),
        ("/one", "application/cbor,application/json".to_owned()),
    ] {
        let answer = ask(&world, ("GET", &format!("{CONFIG_MAPS}{path}")), &[("accept", &accept)], "").await;
        shown.push(format!("{path} {accept}\n  {}", told(&answer)));
    }
    let object = ask(&world, ("GET", &format!("{CONFIG_MAPS}/one")), &[("accept", PROTOBUF)], "").await.into_body();
    let both = [("content-type", PROTOBUF), ("accept", PROTOBUF)];
    shown.push(told(&ask(&world, ("PUT", &format!("{CONFIG_MAPS}/one")), &both, object).await));
    for (method, media_type) in [("POST", "application/cbor"), ("PATCH", "application/cbor"), ("POST", "text/x")] {
        let path = if method == "PATCH" { format!("{CONFIG_MAPS}/one") } else { CONFIG_MAPS.to_owned() };
        shown.push(told(&ask(&world, (method, &path), &[("content-type", media_type)], "x").await));
    }
    expect![[r#"
        201 application/json ConfigMap {"metadata":{"name":"one"},"data":{"k":"v"}}
        /one application/vnd.kubernetes.protobuf
          200 application/vnd.kubernetes.protobuf ConfigMap {"metadata":{"name":"one"},"data":{"k":"v"}}
        /one application/yaml
          200 application/yaml ConfigMap {"data":{"k":"v"},"metadata":{"name":"one"}}
        /one application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io
          200 application/vnd.kubernetes.protobuf PartialObjectMetadata {"metadata":{"name":"one"}}
         application/vnd.kubernetes.protobuf
          200 application/vnd.kubernetes.protobuf ConfigMapList [one]
         application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io
          200 application/vnd.kubernetes.protobuf PartialObjectMetadataList [one]
         application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io
          200 application/json Table {"metadata":{},"columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names","priority":0},{"name":"Data","type":"string","format":"","description":"Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap with the keys in the BinaryData field, this is enforced during validation process.","priority":0},{"name":"Age","type":"string","format":"","description":"CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata","priority":0}],"rows":[{"cells":["one",1,"0s"],"object":{"metadata":{"name":"one","namespace":"ns","uid":"dac94832-5ac1-4f6d-9325-64371735f32c","creationTimestamp":"2026-01-01T00:00:00Z","managedFields":[{"manager":"test","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{".":{},"f:k":{}}}}],"resourceVersion":"3"},"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1"}}]}
        /none application/vnd.kubernetes.protobuf
          404 application/vnd.kubernetes.protobuf Status Failure configmaps "none" not found
        /none application/yaml
          404 application/yaml Status Failure configmaps "none" not found
        /one application/cbor
          406 application/json Status Failure 406: Not Acceptable

        Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf
        /one application/cbor,application/json
          200 application/json ConfigMap {"metadata":{"name":"one"},"data":{"k":"v"}}
        200 application/vnd.kubernetes.protobuf ConfigMap {"metadata":{"name":"one"},"data":{"k":"v"}}
        415 application/json Status Failure the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf
        415 application/json Status Failure the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml
        415 application/json Status Failure the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"#]].assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_in_protobuf_has_frames() {
    let world = World::new().await;
    world.play(r#"POST cm {"metadata":{"name":"a"}}"#).await;
    let url = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1");
    let answer = ask(&world, ("GET", &url), &[("accept", PROTOBUF)], "").await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    let mut rest = answer.body().clone();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest.split_to(4)[..].try_into().unwrap());
        let frame = rest.split_to(length as usize);
        words.push(String::from_utf8_lossy(&frame[2..2 + usize::from(frame[1])]).into_owned());
        assert!(frame.windows(4).any(|window| window == b"k8s\0"));
    }
    assert_eq!(words, ["ADDED"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_stand_twice() {
    let world = World::new().await;
    let body = "metadata:\n  name: a\n  odd: 1\ndata:\n  k: a\n  k: b\n";
    let config = format!("apiVersion: v1\nkind: ConfigMap\n{}", body.replace("  odd: 1\n", ""));
    let (yaml, apply) = ("application/yaml", "application/apply-patch+yaml");
    let mut shown = Vec::new();
    for (method, path, media_type, text) in [("POST", "", yaml, body), ("PATCH", "/a", apply, config.as_str())] {
        for how in ["Strict", "Warn", "Ignore"] {
            let url = format!(
                "/api/v1/namespaces/ns/configmaps{path}?dryRun=All&fieldManager=m&force=true&fieldValidation={how}"
            );
            let answer = world.send(method, &url, media_type, text).await;
            let warnings: Vec<_> =
                answer.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
            let object = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            let object = json::parse(&object).unwrap();
            let message = object.str_at(&["message"]).unwrap_or_default().to_owned();
            shown.push(format!("{method} {how}: {message} {}", warnings.join("; ")));
        }
    }
    expect![[r#"
        POST Strict: ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:
          line 6: key "k" already set in map, unknown field "metadata.odd" 
        POST Warn:  299 - "line 6: key \"k\" already set in map"; 299 - "unknown field \"metadata.odd\""
        POST Ignore:  
        PATCH Strict: error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:
          line 7: key "k" already set in map 
        PATCH Warn:  299 - "line 7: key \"k\" already set in map"
        PATCH Ignore:  "#]].assert_eq(&shown.join("\n"));
}
