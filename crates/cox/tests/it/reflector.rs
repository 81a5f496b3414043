//! kube-rs' reflectors follow a server that is killed and comes back, again and again, while others write: nothing is
//! lost, nothing comes twice, nothing that is gone comes back.

mod account;
mod writer;

use std::net::TcpListener;
use std::time::Duration;

use base::Clock;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::server::Server;
use account::{Account, Contents};

/// The server is killed so many times.
const DEATHS: usize = 5;

/// So many writes must be acknowledged before each death and at the end.
const WRITES: usize = 40;

/// The writers; each has objects of its own.
const WRITERS: u64 = 3;

/// A reflector must show what is there by then.
const CATCH_UP: Duration = Duration::from_secs(60);

/// So many objects a page: a list takes several.
const PAGE: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflectors_over_a_dying_server() {
    let (clock, folder) = (Clock::system(), tempfile::tempdir().unwrap());
    let mut server = Server::start(folder.path(), "server", &["--secure-port".to_owned(), free_port()]);
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig(&clock).await).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let objects: Api<ConfigMap> = Api::namespaced(Client::try_from(config).unwrap(), "default");

    let shown: Vec<_> = [Config::default().page_size(PAGE), Config::default().streaming_lists()]
        .into_iter()
        .map(|config| {
            let (sender, receiver) = watch::channel(Contents::new());
            (base::spawn("reflector", follow(objects.clone(), config, sender)), receiver)
        })
        .collect();
    let (stop, done) = (watch::Sender::new(false), watch::Sender::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|seed| writer::run(objects.clone(), clock.clone(), seed, done.clone(), stop.subscribe()))
        .map(|writer| base::spawn("writer", writer))
        .collect();

    for _ in 0..DEATHS {
        more_writes(&done).await;
        server.kill_and_start();
    }
    more_writes(&done).await;
    stop.send_replace(true);
    let mut written = Contents::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    let listed = objects.list(&ListParams::default().labels(writer::LABEL)).await.unwrap();
    assert_eq!(account::contents(&listed.items), written, "what was acknowledged is what is there");
    for (reflector, mut receiver) in shown {
        let caught_up = receiver.wait_for(|contents| *contents == written);
        let seen = clock.timeout(CATCH_UP, caught_up).await.map(|end| end.is_ok());
        match seen {
            Ok(true) => reflector.abort(),
            // What it checks itself has failed.
            Ok(false) => reflector.await.unwrap(),
            Err(_) => assert_eq!(*receiver.borrow(), written, "the reflector shows what is there"),
        }
    }
}

/// Reflects, keeps account of every event, and tells what the store of the reflector holds.
async fn follow(objects: Api<ConfigMap>, config: Config, shown: watch::Sender<Contents>) {
    let (store, writer) = reflector::store();
    let config = config.labels(writer::LABEL);
    let mut events = std::pin::pin!(reflector(writer, watcher::watcher(objects, config).backoff(Pause)));
    let mut account = Account::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => account.enter(&event),
            Err(error) => assert!(is_outage(&error), "{error}"),
        }
        let state: Vec<ConfigMap> = store.state().iter().map(|object| ConfigMap::clone(object)).collect();
        shown.send_replace(account::contents(&state));
    }
}

/// Whether a watch or a list failed for want of a server, or because it asks for what is too old.
fn is_outage(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) => {
            writer::is_busy(status.code) || status.code == 410
        }
        WatchError(status) => status.code == 410,
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) => true,
        NoResourceVersion => false,
    }
}

/// Between two tries of a reflector.
struct Pause;

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(writer::LOOK)
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {}
}

async fn more_writes(done: &watch::Sender<usize>) {
    let goal = *done.borrow() + WRITES;
    done.subscribe().wait_for(|done| *done >= goal).await.unwrap();
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}
