//! Create, read, update, patch, delete.

use expect_test::expect;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_life() {
    let world = World::new().await;
    let shown = world
        .play(
            r#"
            POST cm {"metadata":{"name":"a"},"data":{"k":"v"}}
            POST cm {"metadata":{"name":"a"}}
            POST cm {"metadata":{"generateName":"gen-"}}
            POST cm {"kind":"Secret","apiVersion":"v1","metadata":{"name":"b"}}
            POST /apis/events.k8s.io/v1/namespaces/ns/events {"kind":"Event","apiVersion":"v1"}
            GET cm/a
            PUT cm/a {"metadata":{"name":"a","resourceVersion":"1"},"data":{}}
            PUT cm/a {"metadata":{"name":"a"},"data":{"k":"w"}}
            PUT cm/b {"metadata":{"name":"a"}}
            PATCH cm/a {"data":{"z":"1"},"metadata":{"labels":{"l":"m"}}}
            DELETE cm/a {"preconditions":{"resourceVersion":"1"}}
            DELETE cm/a
            GET cm/a
        "#,
        )
        .await;
    expect![[r#"
        POST cm {"metadata":{"name":"a"},"data":{"k":"v"}}
          201 {"metadata":{"name":"a"},"data":{"k":"v"}}
        POST cm {"metadata":{"name":"a"}}
          409 Failure configmaps "a" already exists
        POST cm {"metadata":{"generateName":"gen-"}}
          201 {"metadata":{"name":"gen-4n9zf","generateName":"gen-"}}
        POST cm {"kind":"Secret","apiVersion":"v1","metadata":{"name":"b"}}
          400 Failure Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion
        POST /apis/events.k8s.io/v1/namespaces/ns/events {"kind":"Event","apiVersion":"v1"}
          400 Failure the API version in the data (v1) does not match the expected API version (events.k8s.io/v1)
        GET cm/a
          200 {"metadata":{"name":"a"},"data":{"k":"v"}}
        PUT cm/a {"metadata":{"name":"a","resourceVersion":"1"},"data":{}}
          409 Failure Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again
        PUT cm/a {"metadata":{"name":"a"},"data":{"k":"w"}}
          200 {"metadata":{"name":"a"},"data":{"k":"w"}}
        PUT cm/b {"metadata":{"name":"a"}}
          400 Failure the name of the object (a) does not match the name on the URL (b)
        PATCH cm/a {"data":{"z":"1"},"metadata":{"labels":{"l":"m"}}}
          200 {"metadata":{"name":"a","labels":{"l":"m"}},"data":{"k":"w","z":"1"}}
        DELETE cm/a {"preconditions":{"resourceVersion":"1"}}
          409 Failure Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (6). The object might have been modified
        DELETE cm/a
          200 Success
        GET cm/a
          404 Failure configmaps "a" not found"#]].assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn a_patch_keeps_the_type() {
    let world = World::new().await;
    let patches = r#"
        POST cm {"metadata":{"name":"a"},"data":{"k":"v"}}
        PATCH cm/a {"kind":null}
        PATCH cm/a {"kind":"Secret","data":null}
        PATCH cm/a {"kind":"Secret"}
        PATCH cm/a {"kind":"Odd"}
        PATCH cm/a {"kind":5}
        PATCH cm/a {"apiVersion":null}
        PATCH cm/a?fieldValidation=Ignore {
        PATCH cm/a?fieldValidation=Ignore [1]
    "#;
    // The object that could not be read is quoted whole.
    let shown = world.play(patches).await;
    let why = |line: &str| line.rsplit_once("}\": ").map_or_else(|| line.to_owned(), |(_, why)| format!("  … {why}"));
    expect![[r#"
        POST cm {"metadata":{"name":"a"},"data":{"k":"v"}}
          201 {"metadata":{"name":"a"},"data":{"k":"v"}}
        PATCH cm/a {"kind":null}
          200 {"metadata":{"name":"a"},"data":{"k":"v"}}
        PATCH cm/a {"kind":"Secret","data":null}
          … converting (v1.Secret) to (core.ConfigMap): unknown conversion
        PATCH cm/a {"kind":"Secret"}
          … illegal base64 data at input byte 0
        PATCH cm/a {"kind":"Odd"}
          … no kind "Odd" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"
        PATCH cm/a {"kind":5}
          … couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string
        PATCH cm/a {"apiVersion":null}
          400 Failure the name of the object (a based on URL) was undeterminable: name must be provided
        PATCH cm/a?fieldValidation=Ignore {
          400 Failure Invalid JSON Patch
        PATCH cm/a?fieldValidation=Ignore [1]
          422 Failure  "" is invalid: patch: Invalid value: "[1]": couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#]].assert_eq(&shown.lines().map(why).collect::<Vec<_>>().join("\n"));
}

#[tokio::test(start_paused = true)]
async fn dry_runs_change_nothing() {
    let world = World::new().await;
    let shown = world
        .play(
            r#"
            POST cm?dryRun=All {"metadata":{"name":"a"}}
            GET cm/a
            POST cm {"metadata":{"name":"a"}}
            PATCH cm/a?dryRun=All {"data":{"k":"v"}}
            DELETE cm/a?dryRun=All
            DELETE cm?dryRun=All
            GET cm/a
        "#,
        )
        .await;
    expect![[r#"
        POST cm?dryRun=All {"metadata":{"name":"a"}}
          201 {"metadata":{"name":"a"}}
        GET cm/a
          404 Failure configmaps "a" not found
        POST cm {"metadata":{"name":"a"}}
          201 {"metadata":{"name":"a"}}
        PATCH cm/a?dryRun=All {"data":{"k":"v"}}
          200 {"metadata":{"name":"a"},"data":{"k":"v"}}
        DELETE cm/a?dryRun=All
          200 Success
        DELETE cm?dryRun=All
          200 [a]
        GET cm/a
          200 {"metadata":{"name":"a"}}"#]]
    .assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn unknown_fields() {
    let world = World::new().await;
    let shown = world
        .play(
            r#"
            POST cm?fieldValidation=Strict {"metadata":{"name":"a"},"odd":1,"data":{"k":"1","k":"2"}}
            POST cm?fieldValidation=Ignore {"metadata":{"name":"a"},"odd":1}
            POST cm?fieldValidation=Odd {"metadata":{"name":"b"}}
        "#,
        )
        .await;
    expect![[r#"
        POST cm?fieldValidation=Strict {"metadata":{"name":"a"},"odd":1,"data":{"k":"1","k":"2"}}
          400 Failure ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "odd", duplicate field "data.k"
        POST cm?fieldValidation=Ignore {"metadata":{"name":"a"},"odd":1}
          201 {"metadata":{"name":"a"}}
        POST cm?fieldValidation=Odd {"metadata":{"name":"b"}}
          422 Failure CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Odd": supported values: "", "Ignore", "Strict", "Warn""#]].assert_eq(&shown);
    let body = r#"{"metadata":{"name":"c"},"odd":1}"#;
    let answer = world.send("POST", "/api/v1/namespaces/ns/configmaps", "application/json", body).await;
    assert_eq!(answer.headers()["warning"], r#"299 - "unknown field \"odd\"""#);
}

#[tokio::test(start_paused = true)]
async fn writes_at_the_same_time_all_count() {
    let world = World::new().await;
    world.play(r#"POST cm {"metadata":{"name":"a"}}"#).await;
    let one = async |n: usize| {
        let body = format!(r#"{{"data":{{"k{n}":"v"}}}}"#);
        world.ask("PATCH", "/api/v1/namespaces/ns/configmaps/a", &body).await.0
    };
    let codes = futures::future::join_all((0..20).map(one)).await;
    assert_eq!(codes, [200; 20]);
    let (_, object) = world.ask("GET", "/api/v1/namespaces/ns/configmaps/a", "").await;
    assert_eq!(object.get("data").and_then(|data| data.as_object()).map(machinery::Object::len), Some(20));
}

#[tokio::test(start_paused = true)]
async fn the_uid_of_nothing() {
    let world = World::new().await;
    let shown = world
        .play(
            r#"
            PUT cm/a {"metadata":{"name":"a","uid":"x"}}
            PUT /apis/coordination.k8s.io/v1/namespaces/ns/leases/a {"metadata":{"name":"a","uid":"x"}}
            PUT cm/a {"metadata":{"name":"a"}}
        "#,
        )
        .await;
    let config = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","uid":"x"}}"#;
    let url = "/api/v1/namespaces/ns/configmaps/a?fieldManager=m";
    let answer = world.send("PATCH", url, "application/apply-patch+yaml", config).await;
    expect![[r#"
        PUT cm/a {"metadata":{"name":"a","uid":"x"}}
          409 Failure Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key: /registry/configmaps/ns/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: x, UID in object meta:
        PUT /apis/coordination.k8s.io/v1/namespaces/ns/leases/a {"metadata":{"name":"a","uid":"x"}}
          409 Failure Operation cannot be fulfilled on leases.coordination.k8s.io "a": StorageError: invalid object, Code: 4, Key: /registry/leases/ns/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: x, UID in object meta:
        PUT cm/a {"metadata":{"name":"a"}}
          404 Failure configmaps "a" not found
        409 Conflict"#]].assert_eq(&format!("{shown}\n{}", answer.status()));
}
