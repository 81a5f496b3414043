//! A small API server in memory: just what a kubelet asks for, with real watches.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use client::{Body, Client};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

/// Watchers that lag behind so many events lose the stream and list again.
const EVENTS: usize = 1024;

#[derive(Clone)]
pub struct Api(Arc<State>);

struct State {
    objects: Mutex<Objects>,
    events: broadcast::Sender<(String, Value)>,
}

#[derive(Default)]
struct Objects {
    /// By collection path and name.
    all: BTreeMap<String, Value>,
    revision: u64,
}

impl Api {
    pub fn new() -> Self {
        let events = broadcast::channel(EVENTS).0;
        Self(Arc::new(State { objects: Mutex::default(), events }))
    }

    pub fn client(&self) -> Client {
        let api = self.clone();
        Client::new(tower::service_fn(move |request| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        }))
    }

    /// Puts an object in, as a user or a controller would.
    pub fn put(&self, path: &str, object: Value) {
        self.store(path, object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.objects.lock().all.get(path).cloned()
    }

    /// All objects whose path contains `part`.
    pub fn all(&self, part: &str) -> Vec<Value> {
        let objects = self.0.objects.lock();
        objects.all.iter().filter(|(path, _)| path.contains(part)).map(|(_, object)| object.clone()).collect()
    }

    /// Asks for a pod's deletion with grace.
    pub fn delete(&self, path: &str, seconds: i64) {
        if let Some(mut object) = self.get(path) {
            object["metadata"]["deletionTimestamp"] = json!(jiff::Timestamp::UNIX_EPOCH);
            object["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
            self.store(path, object);
        }
    }

    /// Waits until the object at `path` (null when there is none) satisfies `done`.
    pub async fn until(&self, path: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let mut events = self.0.events.subscribe();
        let wait = async {
            loop {
                let now = self.get(path).unwrap_or(Value::Null);
                if done(&now) {
                    return now;
                }
                let _event_or_lag = events.recv().await;
            }
        };
        let limit = std::time::Duration::from_secs(60);
        match base::Clock::system().timeout(limit, wait).await {
            Ok(object) => object,
            Err(_) => {
                let object = serde_json::to_string_pretty(&self.get(path)).unwrap();
                let events: Vec<String> = self.events();
                panic!("{path} never came to be: {what}\n{object}\n{}", events.join("\n"))
            }
        }
    }

    /// `REASON MESSAGE` of all events.
    pub fn events(&self) -> Vec<String> {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        self.all("/events/")
            .iter()
            .map(|event| format!("{} {}", text(event, "reason"), text(event, "message")))
            .collect()
    }

    fn store(&self, path: &str, mut object: Value) -> Value {
        let mut objects = self.0.objects.lock();
        objects.revision += 1;
        let revision = objects.revision;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let known = objects.all.get(path);
        let uid = known.map(|known| known["metadata"]["uid"].clone()).filter(|uid| !uid.is_null());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = uid.unwrap_or_else(|| json!(format!("uid-{revision}")));
        }
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        objects.all.insert(path.to_owned(), object.clone());
        let _nobody_watches = self.0.events.send((path.to_owned(), json!({"type": kind, "object": object})));
        object
    }

    fn remove(&self, path: &str) -> Option<Value> {
        let mut objects = self.0.objects.lock();
        objects.revision += 1;
        let mut object = objects.all.remove(path)?;
        object["metadata"]["resourceVersion"] = json!(objects.revision.to_string());
        let _nobody_watches = self.0.events.send((path.to_owned(), json!({"type": "DELETED", "object": object})));
        Some(object)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let collection = path.rsplit('/').next().is_some_and(|last| {
            ["pods", "nodes", "services", "configmaps", "secrets", "events", "leases"].contains(&last)
        });
        match (method, collection) {
            (Method::GET, true) if query.contains("watch=true") || query.contains("watch=1") => {
                self.watch(&path, &query)
            }
            (Method::GET, true) => self.list(&path, &query),
            (Method::GET, false) => self.get(&path).map_or_else(|| not_found(&path), |object| ok(&object)),
            (Method::POST, true) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let full = format!("{path}/{name}");
                if self.get(&full).is_some() {
                    return refuse(StatusCode::CONFLICT, "AlreadyExists", &full);
                }
                ok(&self.store(&full, body))
            }
            (Method::POST, false) if path.ends_with("/token") => {
                let mut answer = body;
                answer["status"] = json!({"token": "a-token", "expirationTimestamp": "2099-01-01T00:00:00Z"});
                ok(&answer)
            }
            (Method::PUT, _) => ok(&self.store(&path, body)),
            (Method::PATCH, _) => {
                let target = path.strip_suffix("/status").unwrap_or(&path);
                let Some(mut object) = self.get(target) else { return not_found(target) };
                merge(&mut object, &body);
                ok(&self.store(target, object))
            }
            (Method::DELETE, _) => self.remove(&path).map_or_else(|| not_found(&path), |object| ok(&object)),
            _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &path),
        }
    }

    fn list(&self, path: &str, query: &str) -> Response<Body> {
        let objects = self.0.objects.lock();
        let items: Vec<&Value> = objects
            .all
            .iter()
            .filter(|(key, object)| in_collection(key, path) && fits(object, query))
            .map(|(_, object)| object)
            .collect();
        let revision = objects.revision.to_string();
        ok(&json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": revision}, "items": items}))
    }

    fn watch(&self, path: &str, query: &str) -> Response<Body> {
        let (path, query) = (path.to_owned(), query.to_owned());
        let from: u64 = parameter(&query, "resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let objects = self.0.objects.lock();
        let events = BroadcastStream::new(self.0.events.subscribe());
        let newer =
            |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > from;
        let initial = parameter(&query, "sendInitialEvents").is_some_and(|value| value == "true");
        let missed: Vec<Value> = objects
            .all
            .iter()
            .filter(|(key, object)| in_collection(key, &path) && fits(object, &query) && (initial || newer(object)))
            .map(|(_, object)| json!({"type": "ADDED", "object": object}))
            .collect();
        let revision = objects.revision.to_string();
        drop(objects);
        let bookmark = initial.then(|| {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": revision, "annotations": annotations}}})
        });
        let later = events.take_while(Result::is_ok).filter_map(move |event| {
            let (key, event) = event.ok()?;
            (in_collection(&key, &path) && fits(&event["object"], &query)).then_some(event)
        });
        let lines = tokio_stream::iter(missed.into_iter().chain(bookmark)).chain(later);
        let frames =
            lines.map(|event| Ok::<_, client::BoxError>(http_body::Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

/// `/api/v1/pods` holds `/api/v1/namespaces/NS/pods/NAME`.
fn in_collection(key: &str, path: &str) -> bool {
    let Some((collection, _)) = key.rsplit_once('/') else { return false };
    let (Some((prefix, plural)), Some((_, own))) = (path.rsplit_once('/'), collection.rsplit_once('/')) else {
        return false;
    };
    collection == path || own == plural && collection.starts_with(&format!("{prefix}/namespaces/"))
}

fn fits(object: &Value, query: &str) -> bool {
    let Some(selector) = parameter(query, "fieldSelector") else { return true };
    selector.split(',').all(|term| {
        let (field, wanted) = term.split_once('=').unwrap();
        let pointer = format!("/{}", field.replace('.', "/"));
        object.pointer(&pointer).and_then(Value::as_str) == Some(wanted)
    })
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(pair.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/"))
}

/// As much of a strategic merge patch as a status needs: conditions merge by type, lists may be replaced by directive.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else { return object.clone_from(patch) };
    for (name, value) in fields {
        match value {
            Value::Null => drop(object.as_object_mut().map(|object| object.remove(name))),
            Value::Array(items) if name == "conditions" => {
                let mut all = object[name].as_array().cloned().unwrap_or_default();
                for item in items {
                    all.retain(|known| known["type"] != item["type"]);
                    all.push(item.clone());
                }
                object[name] = json!(all);
            }
            Value::Array(items) => {
                object[name] = items.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
            }
            Value::Object(_) => {
                if !object[name].is_object() {
                    object[name] = json!({});
                }
                merge(&mut object[name], value);
            }
            _ => object[name] = value.clone(),
        }
    }
}

fn ok(object: &Value) -> Response<Body> {
    respond(StatusCode::OK, object)
}

fn not_found(path: &str) -> Response<Body> {
    refuse(StatusCode::NOT_FOUND, "NotFound", path)
}

fn refuse(code: StatusCode, reason: &str, path: &str) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": path, "code": code.as_u16()});
    respond(code, &status)
}

fn respond(code: StatusCode, object: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(object.to_string())).map_err(Into::into).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}
