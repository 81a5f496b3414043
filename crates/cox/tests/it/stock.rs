//! A stock kube-apiserver beside ours in front of one etcd: what one writes the other reads, changes and deletes, lists go
//! on at the other one, nothing stale overwrites and no watch has a gap.
//!
//! The stock server is 1.20, the newest whose source a distribution carries, so it tells less of an object than ours.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::Clock;
use client::Client;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use machinery::{Value, json, meta, value, yaml};

use crate::members::Members;
use crate::server::Server;
use crate::shared_etcd::{count_together, more_writes};

const ADDRESSES: &str = "10.96.0.0/16";
/// Where namespaced examples go; one of them names it.
const NAMESPACE: &str = "harbour";
/// So many writes of the counters must succeed.
const WRITES: usize = 300;
/// The stock server must be ready by then.
const READY_LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Ours stores them in a version that is newer than the stock server, a namespace needs a controller to go, and to the
/// others the stock server writes by itself meanwhile.
const APART: [&str; 4] = ["HorizontalPodAutoscaler", "Namespace", "CustomResourceDefinition", "APIService"];

#[tokio::test]
#[ignore = "needs a stock kube-apiserver, which `cargo xtask stock` builds"]
async fn beside_a_stock_server() {
    let (clock, members, folder) = (Clock::system(), Members::start(1), tempfile::tempdir().unwrap());
    let endpoints = members.endpoints().join(",");
    // It comes back to the same one.
    let port = free_port().to_string();
    let flags = ["--secure-port", &port, "--etcd-servers", &endpoints, "--service-cluster-ip-range", ADDRESSES];
    let mut server = Server::start(folder.path(), "ours", &flags.map(str::to_owned));
    let ours = server.client(&clock).await;
    let mut stock = Stock::start(folder.path(), &endpoints);
    let theirs = stock.client(folder.path(), &clock).await;

    prepare(&theirs).await;
    let known = kinds_of(&theirs).await;
    let mut walked = 0;
    for example in examples() {
        let Some(place) = known.get(&(meta::api_version(&example).to_owned(), meta::kind(&example).to_owned())) else {
            continue;
        };
        if APART.contains(&meta::kind(&example)) {
            continue;
        }
        walk(place, &example, [&theirs, &ours], &theirs).await;
        walk(place, &example, [&ours, &theirs], &theirs).await;
        walked += 1;
    }
    assert!(walked >= 38, "only {walked} kinds were walked");
    count_together([ours.clone(), theirs.clone()], async |progress| more_writes(progress, WRITES).await).await;
    lists_go_on(&[&ours, &theirs]).await;
    left_by_a_stock_server_alone(&mut server, &theirs, &clock).await;
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A kube-apiserver. It ends with this, also when the test fails.
struct Stock {
    process: Child,
    port: u16,
}

impl Stock {
    /// Starts one with the authority and keys of ours.
    fn start(folder: &Path, etcd: &str) -> Self {
        let binary = std::env::var_os("KUBE_APISERVER").expect("KUBE_APISERVER names the stock server");
        let port = free_port();
        let log = std::fs::File::create(folder.join("stock.log")).unwrap();
        let pki = |name: &str| folder.join("ours/pki").join(name).display().to_string();
        let flags = [
            ("--etcd-servers", etcd.to_owned()),
            ("--bind-address", "127.0.0.1".to_owned()),
            ("--secure-port", port.to_string()),
            ("--cert-dir", folder.join("stock").display().to_string()),
            ("--tls-cert-file", pki("apiserver.crt")),
            ("--tls-private-key-file", pki("apiserver.key")),
            ("--client-ca-file", pki("ca.crt")),
            ("--service-account-issuer", "https://kubernetes.default.svc.cluster.local".to_owned()),
            ("--service-account-signing-key-file", pki("sa.key")),
            ("--service-account-key-file", pki("sa.pub")),
            ("--service-cluster-ip-range", ADDRESSES.to_owned()),
            ("--authorization-mode", "Node,RBAC".to_owned()),
            // It keeps them in an alpha version that no later server reads.
            ("--feature-gates", "APIPriorityAndFairness=false".to_owned()),
        ];
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(binary)
            .args(flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, port }
    }

    /// A client with the admin's rights, once the server is ready.
    async fn client(&mut self, folder: &Path, clock: &Clock) -> Client {
        let ours = std::fs::read_to_string(folder.join("ours/admin.kubeconfig")).unwrap();
        let lines = ours.lines().map(|line| match line.split_once("server: ") {
            Some((before, _)) => format!("{before}server: https://127.0.0.1:{}", self.port),
            None => line.to_owned(),
        });
        let kubeconfig = folder.join("stock.kubeconfig");
        std::fs::write(&kubeconfig, lines.collect::<Vec<_>>().join("\n")).unwrap();
        let client = Client::from_kubeconfig(&kubeconfig).await.unwrap();
        let ready = async {
            while ask(&client, Method::GET, "/readyz", None).await.map(|(code, _)| code) != Some(200) {
                let ended = self.process.try_wait().unwrap();
                let log = || std::fs::read_to_string(folder.join("stock.log")).unwrap();
                assert!(ended.is_none(), "the stock server ended: {}", log());
                clock.sleep(LOOK).await;
            }
        };
        clock.timeout(READY_LIMIT, ready).await.expect("the stock server starts in time");
        client
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        // Killing what is dead is an error that says nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The code and the body of an answer; none if there was no answer.
async fn ask(client: &Client, method: Method, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    let media_type = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = client::full(body.map(json::to_vec).unwrap_or_default());
    let request = Request::builder().method(method).uri(path).header("content-type", media_type);
    let answer = client.send(request.body(body).unwrap()).await.ok()?;
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    Some((code, json::parse(&body).unwrap_or_default()))
}

/// The body of an answer that must be a success.
async fn done(client: &Client, method: Method, path: &str, body: Option<&Value>) -> Value {
    let (code, answer) = ask(client, method.clone(), path, body).await.unwrap();
    assert!((200..300).contains(&code), "{method} {path}: {}", json::to_string(&answer));
    answer
}

/// What the examples stand on.
async fn prepare(server: &Client) {
    done(server, Method::POST, "/api/v1/namespaces", Some(&value!({"metadata": {"name": NAMESPACE}}))).await;
    let account = value!({"metadata": {"name": "default"}, "automountServiceAccountToken": false});
    for namespace in [NAMESPACE, "default"] {
        done(server, Method::POST, &format!("/api/v1/namespaces/{namespace}/serviceaccounts"), Some(&account)).await;
    }
}

/// A place of objects: the path of a cluster's, and of a namespace's.
struct Place {
    root: String,
    resource: String,
    namespaced: bool,
}

impl Place {
    fn path(&self) -> String {
        let namespace = if self.namespaced { format!("/namespaces/{NAMESPACE}") } else { String::new() };
        format!("{}{namespace}/{}", self.root, self.resource)
    }
}

/// What a server lets one make, by version and kind.
async fn kinds_of(server: &Client) -> BTreeMap<(String, String), Place> {
    let groups = done(server, Method::GET, "/apis", None).await;
    let versions = groups.items_at(&["groups"]).iter().flat_map(|group| group.items_at(&["versions"]));
    let named = versions.filter_map(|version| version.str_at(&["groupVersion"])).map(|name| format!("/apis/{name}"));
    let mut found = BTreeMap::new();
    for root in std::iter::once("/api/v1".to_owned()).chain(named) {
        let list = done(server, Method::GET, &root, None).await;
        for resource in list.items_at(&["resources"]) {
            let verbs = resource.items_at(&["verbs"]);
            let name = resource.str_at(&["name"]).unwrap().to_owned();
            let has = |verb: &str| verbs.iter().any(|known| known.as_str() == Some(verb));
            if name.contains('/') || !has("create") || !has("get") {
                continue;
            }
            let version = list.str_at(&["groupVersion"]).unwrap().to_owned();
            let namespaced = resource.bool_at(&["namespaced"]).unwrap();
            let place = Place { root: root.clone(), resource: name, namespaced };
            found.insert((version, resource.str_at(&["kind"]).unwrap().to_owned()), place);
        }
    }
    found
}

/// The examples that kubectl walks too.
fn examples() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node/examples");
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| yaml::parse_all(&std::fs::read_to_string(file).unwrap()).unwrap()).collect()
}

/// An object that is made by the first server and read, changed and deleted by the second one.
async fn walk(place: &Place, example: &Value, [first, second]: [&Client; 2], stock: &Client) {
    let mut object = example.clone();
    object.remove_at(&["metadata", "namespace"]);
    let made = done(first, Method::POST, &place.path(), Some(&object)).await;
    let path = format!("{}/{}", place.path(), meta::name(&made));
    let told = [done(first, Method::GET, &path, None).await, done(second, Method::GET, &path, None).await];
    let is_stock = |server: &Client| std::ptr::eq(server, stock);
    let [less, more] = if is_stock(first) { [&told[0], &told[1]] } else { [&told[1], &told[0]] };
    says_all(less, more, &mut vec![path.clone()]);

    let patch = value!({"metadata": {"labels": {"changed": "by-the-other"}}});
    let patched = done(second, Method::PATCH, &path, Some(&patch)).await;
    let seen = done(first, Method::GET, &path, None).await;
    assert_eq!(meta::resource_version(&seen), meta::resource_version(&patched), "{path}");
    assert_eq!(seen.str_at(&["metadata", "labels", "changed"]), Some("by-the-other"), "{path}");
    let managers = |object: &Value| {
        let entries = object.items_at(&["metadata", "managedFields"]);
        entries.iter().map(|entry| entry.str_at(&["operation"]).map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(managers(&seen), managers(&patched), "{path}");
    let stale = ask(first, Method::PUT, &path, Some(&made)).await.unwrap();
    assert_eq!(stale.0, 409, "{path}: {}", json::to_string(&stale.1));

    let delete = format!("{path}?gracePeriodSeconds=0");
    done(second, Method::DELETE, &delete, None).await;
    if let Some((200, left)) = ask(first, Method::GET, &path, None).await {
        assert!(meta::finalizers(&left).next().is_some(), "{path} is still there");
        done(first, Method::PATCH, &path, Some(&value!({"metadata": {"finalizers": null}}))).await;
    }
    for server in [first, second] {
        assert_eq!(ask(server, Method::GET, &path, None).await.map(|(code, _)| code), Some(404), "{path}");
    }
}

/// Checks that `more` says all that `less` says. Of owners and of what is null the servers tell in ways of their own.
fn says_all(less: &Value, more: &Value, path: &mut Vec<String>) {
    match (less, more) {
        (Value::Object(less), Value::Object(more)) => {
            for (name, value) in less.iter() {
                if matches!(name.as_str(), "managedFields" | "selfLink") || value.is_null() {
                    continue;
                }
                path.push(name.to_string());
                says_all(value, more.get(name).unwrap_or(&Value::Null), path);
                path.pop();
            }
        }
        (Value::Array(less), Value::Array(more)) if less.len() == more.len() => {
            less.iter().zip(more).for_each(|(less, more)| says_all(less, more, path));
        }
        _ => assert_eq!(json::to_string(less), json::to_string(more), "{}", path.join(".")),
    }
}

/// A list that begins at one server goes on at the other one.
async fn lists_go_on(servers: &[&Client; 2]) {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles?limit=10";
    let whole = done(servers[0], Method::GET, path.split('?').next().unwrap(), None).await;
    let names =
        |list: &Value| list.items_at(&["items"]).iter().map(|role| meta::name(role).to_owned()).collect::<Vec<_>>();
    for first in 0..2 {
        let (mut turn, mut found, mut next) = (first, Vec::new(), String::new());
        loop {
            let page = done(servers[turn % 2], Method::GET, &format!("{path}&continue={next}"), None).await;
            found.extend(names(&page));
            next = page.str_at(&["metadata", "continue"]).unwrap_or_default().to_owned();
            turn += 1;
            if next.is_empty() {
                break;
            }
        }
        assert!(turn > first + 3, "the list has several pages");
        assert_eq!(found, names(&whole));
    }
}

/// Ours is killed, the stock one goes on writing, and ours finds it all.
async fn left_by_a_stock_server_alone(server: &mut Server, theirs: &Client, clock: &Clock) {
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments");
    let deployment = |name: &str| {
        let labels = value!({"app": name});
        value!({"metadata": {"name": name}, "spec": {"replicas": 2, "selector": {"matchLabels": (labels.clone())},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}})
    };
    server
        .kill_and_start_after(async {
            for name in ["left-1", "left-2"] {
                done(theirs, Method::POST, &path, Some(&deployment(name))).await;
            }
        })
        .await;
    let ours = server.client(clock).await;
    let ready = async {
        while ask(&ours, Method::GET, "/readyz", None).await.map(|(code, _)| code) != Some(200) {
            clock.sleep(LOOK).await;
        }
    };
    clock.timeout(READY_LIMIT, ready).await.expect("it starts in time");
    for name in ["left-1", "left-2"] {
        let found = done(&ours, Method::GET, &format!("{path}/{name}"), None).await;
        assert_eq!(found.int_at(&["spec", "replicas"]), Some(2));
        done(&ours, Method::DELETE, &format!("{path}/{name}"), None).await;
    }
}
