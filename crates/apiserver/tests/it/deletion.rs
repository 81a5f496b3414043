//! Finalizers, propagation, collections.

use expect_test::expect;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn finalizers_hold() {
    let world = World::new().await;
    let shown = world
        .play(
            r#"
            POST cm {"metadata":{"name":"a","finalizers":["example.com/hold"]}}
            DELETE cm/a
            POST cm {"metadata":{"name":"a"}}
            PATCH cm/a {"metadata":{"finalizers":["example.com/hold","example.com/new"]}}
            PATCH cm/a {"metadata":{"finalizers":null}}
            GET cm/a
        "#,
        )
        .await;
    expect![[r#"
        POST cm {"metadata":{"name":"a","finalizers":["example.com/hold"]}}
          201 {"metadata":{"name":"a","finalizers":["example.com/hold"]}}
        DELETE cm/a
          200 {"metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":0,"finalizers":["example.com/hold"]}}
        POST cm {"metadata":{"name":"a"}}
          409 Failure object is being deleted: configmaps "a" already exists
        PATCH cm/a {"metadata":{"finalizers":["example.com/hold","example.com/new"]}}
          422 Failure ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/new"}
        PATCH cm/a {"metadata":{"finalizers":null}}
          200 {"metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":0}}
        GET cm/a
          404 Failure configmaps "a" not found"#]].assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn propagation_and_collections() {
    let world = World::new().await;
    let shown = world
        .play(
            r#"
            POST cm {"metadata":{"name":"a","labels":{"x":"1"}}}
            POST cm {"metadata":{"name":"b","labels":{"x":"2"}}}
            DELETE cm/a?propagationPolicy=Foreground
            DELETE cm/b?propagationPolicy=Odd
            DELETE cm/b {"apiVersion":"v1","kind":"Pod"}
            DELETE cm/b {"gracePeriodSeconds":"5"}
            DELETE cm/b []
            DELETE cm?labelSelector=x%3D2
            GET cm
        "#,
        )
        .await;
    expect![[r#"
        POST cm {"metadata":{"name":"a","labels":{"x":"1"}}}
          201 {"metadata":{"name":"a","labels":{"x":"1"}}}
        POST cm {"metadata":{"name":"b","labels":{"x":"2"}}}
          201 {"metadata":{"name":"b","labels":{"x":"2"}}}
        DELETE cm/a?propagationPolicy=Foreground
          200 {"metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":0,"labels":{"x":"1"},"finalizers":["foregroundDeletion"]}}
        DELETE cm/b?propagationPolicy=Odd
          422 Failure DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Odd": supported values: "Foreground", "Background", "Orphan", "nil"
        DELETE cm/b {"apiVersion":"v1","kind":"Pod"}
          400 Failure no kind "Pod" is registered for version "v1" in scheme "pkg/apis/meta/internalversion/scheme/register.go:28"
        DELETE cm/b {"gracePeriodSeconds":"5"}
          400 Failure json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64
        DELETE cm/b []
          400 Failure couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }
        DELETE cm?labelSelector=x%3D2
          200 [b]
        GET cm
          200 [a]"#]].assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_terminates() {
    let world = World::new().await;
    let shown = world
        .play(
            r#"
            DELETE /api/v1/namespaces/ns
            POST cm {"metadata":{"name":"a"}}
            PUT /api/v1/namespaces/ns/finalize {"metadata":{"name":"ns"},"spec":{}}
            GET /api/v1/namespaces/ns
        "#,
        )
        .await;
    expect![[r#"
        DELETE /api/v1/namespaces/ns
          200 {"metadata":{"name":"ns","deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"kubernetes.io/metadata.name":"ns"}},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}}
        POST cm {"metadata":{"name":"a"}}
          403 Failure configmaps "a" is forbidden: unable to create new content in namespace ns because it is being terminated
        PUT /api/v1/namespaces/ns/finalize {"metadata":{"name":"ns"},"spec":{}}
          200 {"metadata":{"name":"ns","deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"kubernetes.io/metadata.name":"ns"}},"spec":{},"status":{"phase":"Terminating"}}
        GET /api/v1/namespaces/ns
          404 Failure namespaces "ns" not found"#]].assert_eq(&shown);
}
