//! Pages, versions, selectors, other forms.

use apiserver::Options;
use base::Clock;
use expect_test::expect;
use machinery::Value;

use crate::world::{World, show};

const CONFIG_MAPS: &str = "/api/v1/namespaces/ns/configmaps";

async fn five() -> World {
    let world = World::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        let parity = if "ace".contains(name) { "odd" } else { "even" };
        world.play(&format!(r#"POST cm {{"metadata":{{"name":"{name}","labels":{{"n":"{parity}"}}}}}}"#)).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_where_it_was() {
    let world = five().await;
    let (_, first) = world.ask("GET", &format!("{CONFIG_MAPS}?limit=2"), "").await;
    let token = first.str_at(&["metadata", "continue"]).unwrap().to_owned();
    world.play("DELETE cm/c").await;
    let (_, second) = world.ask("GET", &format!("{CONFIG_MAPS}?limit=2&continue={token}"), "").await;
    let (_, now) = world.ask("GET", CONFIG_MAPS, "").await;
    let shown = [first, second, now].iter().map(show).collect::<Vec<_>>().join("\n");
    expect![[r#"
        [a b] and 3 more
        [c d] and 1 more
        [a b d e]"#]]
    .assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn selectors_and_versions() {
    let world = five().await;
    let shown = world
        .play(
            r#"
            GET cm?labelSelector=n%3Deven
            GET cm?labelSelector=n%20notin%20(even),n&limit=1
            GET cm?fieldSelector=metadata.name!%3Da
            GET cm?fieldSelector=data.k%3Da
            GET cm?resourceVersion=0
            GET cm?resourceVersion=99999
            GET cm?resourceVersion=x
            GET /api/v1/configmaps?limit=1
        "#,
        )
        .await;
    expect![[r#"
        GET cm?labelSelector=n%3Deven
          200 [b d]
        GET cm?labelSelector=n%20notin%20(even),n&limit=1
          200 [a]
        GET cm?fieldSelector=metadata.name!%3Da
          200 [b c d e]
        GET cm?fieldSelector=data.k%3Da
          400 Failure "data.k" is not a known field selector: only "metadata.name", "metadata.namespace"
        GET cm?resourceVersion=0
          200 [a b c d e]
        GET cm?resourceVersion=99999
          504 Failure Timeout: Too large resource version: 99999, current: 7
        GET cm?resourceVersion=x
          500 Failure resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax
        GET /api/v1/configmaps?limit=1
          200 [a] and 4 more"#]]
    .assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_past_is_forgotten_goes_on_in_the_present() {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let store = store::memory::open(clock.clone());
    let world = World::over(store.clone(), clock, Options::default()).await;
    world.ask("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"ns"}}"#).await;
    for name in ["a", "b", "c"] {
        world.play(&format!(r#"POST cm {{"metadata":{{"name":"{name}","labels":{{"n":"{name}"}}}}}}"#)).await;
    }
    let (_, first) = world.ask("GET", &format!("{CONFIG_MAPS}?limit=1"), "").await;
    let text = |list: &Value, field: &str| list.str_at(&["metadata", field]).unwrap_or_default().to_owned();
    let (token, version) = (text(&first, "continue"), text(&first, "resourceVersion"));
    world.play("DELETE cm/b\nGET cm").await;
    let past = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
    let mut shown = Vec::new();
    for url in [past.clone(), format!("{past}&limit=2"), format!("{past}&labelSelector=n!%3Da&limit=1")] {
        shown.push(show(&world.ask("GET", &url, "").await.1));
    }
    store.compact(store.revision().await.unwrap()).await.unwrap();
    let (code, gone) = world.ask("GET", &past, "").await;
    shown.push(format!("{code} {}", show(&gone)));
    let (code, expired) = world.ask("GET", &format!("{CONFIG_MAPS}?limit=1&continue={token}"), "").await;
    shown.push(format!("{code} {}", show(&expired)));
    let token = text(&expired, "continue");
    shown.push(show(&world.ask("GET", &format!("{CONFIG_MAPS}?limit=1&continue={token}"), "").await.1));
    expect![[r#"
        [a b c]
        [a b] and 1 more
        [b]
        410 Failure The resourceVersion for the provided list is too old.
        410 Failure The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.
        [c]"#]].assert_eq(&shown.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn versions_and_how_they_are_meant() {
    let world = five().await;
    let shown = world
        .play(
            r#"
            GET cm?resourceVersionMatch=Exact
            GET cm?resourceVersion=0&resourceVersionMatch=Exact
            GET cm?resourceVersion=3&resourceVersionMatch=Odd
            GET cm?resourceVersion=3&resourceVersionMatch=NotOlderThan&limit=2
            GET cm?resourceVersion=4&resourceVersionMatch=Exact
            GET cm?resourceVersion=4&limit=1
            GET cm?resourceVersion=0&limit=1
            GET cm?resourceVersion=0&resourceVersionMatch=NotOlderThan&limit=1
            GET cm?resourceVersion=99999&resourceVersionMatch=Exact
            GET cm/a?resourceVersion=99999
            GET cm/a?resourceVersion=x
            GET cm/a?resourceVersion=3
            DELETE cm?resourceVersion=4&resourceVersionMatch=Exact
            GET cm
        "#,
        )
        .await;
    expect![[r#"
        GET cm?resourceVersionMatch=Exact
          422 Failure ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided
        GET cm?resourceVersion=0&resourceVersionMatch=Exact
          422 Failure ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"
        GET cm?resourceVersion=3&resourceVersionMatch=Odd
          422 Failure ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Odd": supported values: "Exact", "NotOlderThan", ""
        GET cm?resourceVersion=3&resourceVersionMatch=NotOlderThan&limit=2
          200 [a b] and 3 more
        GET cm?resourceVersion=4&resourceVersionMatch=Exact
          200 [a b]
        GET cm?resourceVersion=4&limit=1
          200 [a] and 1 more
        GET cm?resourceVersion=0&limit=1
          200 [a b c d e]
        GET cm?resourceVersion=0&resourceVersionMatch=NotOlderThan&limit=1
          200 [a b c d e]
        GET cm?resourceVersion=99999&resourceVersionMatch=Exact
          504 Failure Timeout: Too large resource version: 99999, current: 7
        GET cm/a?resourceVersion=99999
          504 Failure Timeout: Too large resource version: 99999, current: 7
        GET cm/a?resourceVersion=x
          500 Failure resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax
        GET cm/a?resourceVersion=3
          200 {"metadata":{"name":"a","labels":{"n":"odd"}}}
        DELETE cm?resourceVersion=4&resourceVersionMatch=Exact
          200 [a b]
        GET cm
          200 [c d e]"#]].assert_eq(&shown);
}
