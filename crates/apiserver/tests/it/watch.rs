//! Watches: from now, from a version, with selectors, with initial events; what a slow watcher gets.

use apiserver::Options;
use base::Clock;
use expect_test::expect;
use http_body_util::BodyExt as _;
use machinery::{Value, json};

use crate::world::World;

const CONFIG_MAPS: &str = "/api/v1/namespaces/ns/configmaps";

/// The next `count` lines of a watch, each as its type, the object's name and data.
async fn lines(world: &World, query: &str, count: usize) -> String {
    let answer = world.send("GET", &format!("{CONFIG_MAPS}?watch=1&{query}"), "application/json", "").await;
    assert_eq!(answer.status(), 200);
    let (mut body, mut text, mut shown) = (answer.into_body(), String::new(), Vec::new());
    while shown.len() < count {
        let Some(frame) = body.frame().await else { break };
        text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        while let Some((line, rest)) = text.clone().split_once('\n') {
            shown.push(show(&json::parse(line.as_bytes()).unwrap()));
            text = rest.to_owned();
        }
    }
    shown.join("\n")
}

fn show(event: &Value) -> String {
    let text = |path: &[&str]| event.str_at(path).unwrap_or_default().to_owned();
    match text(&["object", "kind"]).as_str() {
        "Status" => format!("{} {}", text(&["type"]), text(&["object", "message"])),
        _ => format!(
            "{} {} {} {}",
            text(&["type"]),
            text(&["object", "metadata", "name"]),
            event.at(&["object", "data"]).map(json::to_string).unwrap_or_default(),
            event.at(&["object", "metadata", "annotations"]).map(json::to_string).unwrap_or_default(),
        )
        .trim_end()
        .to_owned(),
    }
}

async fn version(world: &World) -> String {
    let (_, list) = world.ask("GET", CONFIG_MAPS, "").await;
    list.str_at(&["metadata", "resourceVersion"]).unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn objects_come_into_view_and_go() {
    let world = World::new().await;
    let from = version(&world).await;
    world
        .play(
            r#"
            POST cm {"metadata":{"name":"a"},"data":{"k":"1"}}
            PATCH cm/a {"metadata":{"labels":{"w":"1"}}}
            PATCH cm/a {"data":{"k":"2"}}
            PATCH cm/a {"metadata":{"labels":{"w":"2"}},"data":{"k":"3"}}
            PATCH cm/a {"metadata":{"labels":{"w":"1"}}}
            DELETE cm/a
        "#,
        )
        .await;
    let selected = lines(&world, &format!("resourceVersion={from}&labelSelector=w%3D1"), 5).await;
    let all = lines(&world, &format!("resourceVersion={from}"), 6).await;
    expect![[r#"
        w=1:
        ADDED a {"k":"1"}
        MODIFIED a {"k":"2"}
        DELETED a {"k":"2"}
        ADDED a {"k":"3"}
        DELETED a {"k":"3"}
        all:
        ADDED a {"k":"1"}
        MODIFIED a {"k":"1"}
        MODIFIED a {"k":"2"}
        MODIFIED a {"k":"3"}
        MODIFIED a {"k":"3"}
        DELETED a {"k":"3"}"#]]
    .assert_eq(&format!("w=1:\n{selected}\nall:\n{all}"));
}

#[tokio::test(start_paused = true)]
async fn the_present_state_first() {
    let world = World::new().await;
    world.play("POST cm {\"metadata\":{\"name\":\"b\"}}\nPOST cm {\"metadata\":{\"name\":\"a\"}}").await;
    let plain = lines(&world, "", 2).await;
    let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let marked = lines(&world, initial, 3).await;
    let old = lines(&world, "resourceVersion=0&timeoutSeconds=5", 9).await;
    expect![[r#"
        plain:
        ADDED a
        ADDED b
        marked:
        ADDED a
        ADDED b
        BOOKMARK   {"k8s.io/initial-events-end":"true"}
        until its time is over:
        ADDED a
        ADDED b"#]]
    .assert_eq(&format!("plain:\n{plain}\nmarked:\n{marked}\nuntil its time is over:\n{old}"));
}

#[tokio::test(start_paused = true)]
async fn the_past_of_another_server_until_it_is_forgotten() {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let store = store::memory::open(clock.clone());
    let before = World::over(store.clone(), clock.clone(), Options::default()).await;
    before.ask("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"ns"}}"#).await;
    let from = version(&before).await;
    before.play("POST cm {\"metadata\":{\"name\":\"a\"}}\nPATCH cm/a {\"data\":{\"k\":\"1\"}}\nDELETE cm/a").await;
    drop(before);
    let world = World::over(store.clone(), clock, Options::default()).await;
    world.play("POST cm {\"metadata\":{\"name\":\"b\"}}").await;
    let past = lines(&world, &format!("resourceVersion={from}"), 4).await;
    store.compact(store.revision().await.unwrap()).await.unwrap();
    let forgotten = lines(&world, &format!("resourceVersion={from}"), 1).await;
    expect![[r#"
        ADDED a
        MODIFIED a {"k":"1"}
        DELETED a {"k":"1"}
        ADDED b
        ERROR too old resource version: 2 (6)"#]]
    .assert_eq(&format!("{past}\n{forgotten}"));
}

#[tokio::test(start_paused = true)]
async fn bookmarks_have_the_shape_of_their_kind() {
    let world = World::new().await;
    let query =
        "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1";
    let mut shown = Vec::new();
    for (path, accept) in [
        ("/api/v1/namespaces/ns/pods", "application/json"),
        ("/apis/apps/v1/namespaces/ns/replicasets", "application/json"),
        (CONFIG_MAPS, "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io"),
        (CONFIG_MAPS, "application/json;as=Table;v=v1;g=meta.k8s.io"),
    ] {
        let answer = world.get(&format!("{path}?{query}"), &[("accept", accept)]).await;
        let text = String::from_utf8(answer.into_body().to_vec()).unwrap();
        let mut event = json::parse(text.lines().next().unwrap().as_bytes()).unwrap();
        event.remove_at(&["object", "metadata"]);
        event.remove_at(&["object", "columnDefinitions"]);
        if let Some(Value::Array(rows)) = event.at_mut(&["object", "rows"]) {
            rows.iter_mut().for_each(|row| drop(row.remove_at(&["object", "metadata", "resourceVersion"])));
        }
        shown.push(json::to_string(event.get("object").unwrap()));
    }
    expect![[r#"
        {"kind":"Pod","apiVersion":"v1","spec":{"containers":null},"status":{}}
        {"kind":"ReplicaSet","apiVersion":"apps/v1","spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}}},"status":{"replicas":0}}
        {"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1beta1"}
        {"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{"cells":["",0,"\u003cunknown\u003e"],"object":{"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}},"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1"}}]}"#]].assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_over_ends_a_watch_at_once() {
    let world = World::new().await;
    world.play("POST cm {\"metadata\":{\"name\":\"a\"}}").await;
    assert_eq!(lines(&world, "timeoutSeconds=-1", 1).await, "");
}
