//! Pages, versions, selectors, other forms.

use expect_test::expect;

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
