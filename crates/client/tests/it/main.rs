//! Informers and the driver against a small server of ConfigMaps whose watches can be held back and cut.

mod server;

use std::sync::Arc;

use base::{CancellationToken, Clock, Random, Tasks};
use client::driver::{self, Controller, Watches};
use client::{Action, Client, Context, Informers, Object, Recorder, View};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use server::Server;

/// Every map whose name has no dash owns one called `NAME-SUFFIX`, with a name that chance makes: a plan that does not
/// see its own write makes a second one.
const TWINS: Controller = Controller { name: "twins", workers: 3, watches, plan };

fn watches(watch: &mut Watches<'_>) {
    watch.own::<ConfigMap>();
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(map) = view.get::<ConfigMap>(key).filter(|map| !map.name().contains('-')) else { return Vec::new() };
    let prefix = format!("{}-", map.name());
    if view.in_namespace::<ConfigMap>("a").iter().any(|twin| twin.name().starts_with(&prefix)) {
        return Vec::new();
    }
    let mut twin = named(&format!("{prefix}{}", view.random.suffix(5)));
    twin.data = map.data.clone();
    vec![Action::create(&twin)]
}

fn named(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.into()), namespace: Some("a".into()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

fn context(server: &Arc<Server>) -> Context {
    let client = Client::new(server.clone().service());
    Context { client, clock: Clock::system(), random: Random::seeded(1), cancel: CancellationToken::new() }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let clock = Clock::system();
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        clock.sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the state was not reached");
}

#[tokio::test(start_paused = true)]
async fn an_informer_follows_through_cuts_and_compaction() {
    let server = Server::new();
    let context = context(&server);
    let informers = Informers::new(context.clone());
    context.client.create(&named("one")).await.unwrap();
    let maps = informers.of::<ConfigMap>();
    informers.synced().await;
    assert_eq!(maps.len(), 1);
    context.client.create(&named("two")).await.unwrap();
    until(|| maps.len() == 2).await;
    server.cut();
    context.client.create(&named("three")).await.unwrap();
    until(|| maps.len() == 3).await;
    server.cut();
    context.client.delete::<ConfigMap>("a", "one", &Default::default()).await.unwrap();
    server.compact();
    until(|| maps.get("a/one").is_none()).await;
    assert_eq!(maps.list().iter().map(|map| map.name().to_owned()).collect::<Vec<_>>(), ["three", "two"]);
    context.cancel.cancel();
    informers.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn the_driver_waits_for_its_own_writes() {
    let server = Server::new();
    let context = context(&server);
    let informers = Informers::new(context.clone());
    let (recorder, _events) = Recorder::channel(10);
    let mut tasks = Tasks::new();
    let (running, known) = (context.clone(), informers.clone());
    tasks.spawn("driver", async move {
        let settings: client::Settings = Arc::new(());
        driver::run(&[TWINS], &settings, &running, &known, &recorder).await;
    });
    until(|| informers.of::<ConfigMap>().is_synced()).await;
    context.client.create(&named("web")).await.unwrap();
    until(|| server.count() == 2).await;
    // The informer does not hear of the twin yet, but does of a change of its owner: the plan must wait.
    server.hold(1);
    context.client.create(&named("api")).await.unwrap();
    until(|| server.count() == 4).await;
    for round in 0..5 {
        let mut api = context.client.get::<ConfigMap>("a", "api").await.unwrap();
        api.metadata.annotations.get_or_insert_default().insert("round".into(), round.to_string());
        context.client.update(&api).await.unwrap();
    }
    server.release();
    let maps = informers.of::<ConfigMap>();
    until(|| maps.revision() == server.revision()).await;
    assert_eq!(server.count(), 4, "one twin each");
    context.cancel.cancel();
    tasks.join_all().await;
    informers.stopped().await;
}
