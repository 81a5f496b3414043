//! The verbs, over typed objects or value trees.

use std::marker::PhantomData;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Binding, ObjectReference};
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Status};
use machinery::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::options::Query;
use crate::watch::events;
use crate::{ApiError, Client, Kind, List, ListOptions, Patch, Resource, WatchOptions, WatchStream, full};

/// Objects a page of [`Api::list_all`].
const PAGE: u32 = 500;

/// The verbs of one resource, with objects read as `T`. Namespaces are empty for cluster-wide kinds and for "all".
#[derive(Debug, Clone)]
pub struct Api<T> {
    client: Client,
    resource: Resource,
    object: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send + 'static> Api<T> {
    /// The verbs of `resource`.
    #[must_use]
    pub fn new(client: Client, resource: Resource) -> Self {
        Self { client, resource, object: PhantomData }
    }

    /// One object.
    ///
    /// # Errors
    /// [`ApiError::is_not_found`], among others.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<T, ApiError> {
        self.client.call(Method::GET, self.resource.path(namespace, name, ""), None).await
    }

    /// One page of a collection.
    ///
    /// # Errors
    /// [`ApiError::is_expired`] when the page's revision is gone, among others.
    pub async fn list(&self, namespace: &str, options: &ListOptions) -> Result<List<T>, ApiError> {
        let path = self.resource.path(namespace, "", "") + Query::from(options).as_str();
        self.client.call(Method::GET, path, None).await
    }

    /// A whole collection at one revision, read page by page.
    ///
    /// # Errors
    /// As [`Api::list`].
    pub async fn list_all(&self, namespace: &str, options: &ListOptions) -> Result<List<T>, ApiError> {
        let mut options = ListOptions { limit: PAGE, ..options.clone() };
        let mut all = self.list(namespace, &options).await?;
        while let Some(token) = all.metadata.continue_.take().filter(|token| !token.is_empty()) {
            options.continue_token = token;
            options.resource_version.clear();
            options.resource_version_match.clear();
            let page = self.list(namespace, &options).await?;
            all.items.extend(page.items);
            all.metadata = page.metadata;
        }
        Ok(all)
    }

    /// The events of a collection after a revision.
    ///
    /// # Errors
    /// [`ApiError::is_expired`] when the revision is gone, here or from the stream.
    pub async fn watch(&self, namespace: &str, options: &WatchOptions) -> Result<WatchStream<T>, ApiError> {
        let path = self.resource.path(namespace, "", "") + Query::from(options).as_str();
        let what = format!("WATCH {path}");
        let body = self.client.open(Method::GET, path, None, "").await?;
        Ok(events(body, what))
    }

    /// Makes an object.
    ///
    /// # Errors
    /// [`ApiError::is_already_exists`], among others.
    pub async fn create(&self, namespace: &str, object: &impl Serialize) -> Result<T, ApiError> {
        self.client.call(Method::POST, self.resource.path(namespace, "", ""), Some(json(object)?)).await
    }

    /// Makes a subresource: `binding`, `eviction`, `token`, …
    ///
    /// # Errors
    /// What the subresource says.
    pub async fn create_subresource<R: DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &impl Serialize,
    ) -> Result<R, ApiError> {
        let path = self.resource.path(namespace, name, subresource);
        self.client.call(Method::POST, path, Some(json(object)?)).await
    }

    /// Replaces an object (empty `subresource`) or its `status`, `scale`, `finalize`.
    ///
    /// # Errors
    /// [`ApiError::is_conflict`] when it changed since `object` was read, among others.
    pub async fn update(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &impl Serialize,
    ) -> Result<T, ApiError> {
        let path = self.resource.path(namespace, name, subresource);
        self.client.call(Method::PUT, path, Some(json(object)?)).await
    }

    /// Changes an object (empty `subresource`) or a subresource in place.
    ///
    /// # Errors
    /// What the server says to the changed object.
    pub async fn patch<P: Serialize>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Patch<P>,
    ) -> Result<T, ApiError> {
        let path = self.resource.path(namespace, name, subresource) + patch.query().as_str();
        let body = Some(json(patch.body())?);
        let body = self.client.open(Method::PATCH, path.clone(), body, patch.content_type()).await?;
        decode(&format!("PATCH {path}"), body).await
    }

    /// Deletes an object, or asks for it when finalizers or a grace period hold it.
    ///
    /// # Errors
    /// [`ApiError::is_not_found`]; [`ApiError::is_conflict`] when a precondition does not hold.
    pub async fn delete(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), ApiError> {
        let path = self.resource.path(namespace, name, "");
        self.client.call::<Value>(Method::DELETE, path, Some(json(options)?)).await.map(drop)
    }

    /// Deletes what `selected` selects.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete_collection(
        &self,
        namespace: &str,
        options: &DeleteOptions,
        selected: &ListOptions,
    ) -> Result<(), ApiError> {
        let path = self.resource.path(namespace, "", "") + Query::from(selected).as_str();
        self.client.call::<Value>(Method::DELETE, path, Some(json(options)?)).await.map(drop)
    }
}

impl Client {
    /// The verbs of a built-in kind.
    #[must_use]
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::new(self.clone(), Resource::of::<K>())
    }

    /// The verbs of any resource, over value trees.
    #[must_use]
    pub fn dynamic(&self, resource: Resource) -> Api<Value> {
        Api::new(self.clone(), resource)
    }

    /// One object. `namespace` is empty for cluster-wide kinds.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn get<K: Kind>(&self, namespace: &str, name: &str) -> Result<K, ApiError> {
        self.api().get(namespace, name).await
    }

    /// A whole collection. An empty `namespace` means all.
    ///
    /// # Errors
    /// As [`Api::list_all`].
    pub async fn list<K: Kind>(&self, namespace: &str, options: &ListOptions) -> Result<Vec<K>, ApiError> {
        Ok(self.api().list_all(namespace, options).await?.items)
    }

    /// Makes `object` in the namespace that it names.
    ///
    /// # Errors
    /// As [`Api::create`].
    pub async fn create<K: Kind>(&self, object: &K) -> Result<K, ApiError> {
        self.api().create(object.namespace(), object).await
    }

    /// Replaces `object`.
    ///
    /// # Errors
    /// As [`Api::update`].
    pub async fn update<K: Kind>(&self, object: &K) -> Result<K, ApiError> {
        self.api().update(object.namespace(), object.name(), "", object).await
    }

    /// Replaces the status of `object`.
    ///
    /// # Errors
    /// As [`Api::update`].
    pub async fn update_status<K: Kind>(&self, object: &K) -> Result<K, ApiError> {
        self.api().update(object.namespace(), object.name(), "status", object).await
    }

    /// Changes an object in place.
    ///
    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch<K: Kind>(&self, namespace: &str, name: &str, patch: &Patch) -> Result<K, ApiError> {
        self.api().patch(namespace, name, "", patch).await
    }

    /// Changes the status of an object in place.
    ///
    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch_status<K: Kind>(&self, namespace: &str, name: &str, patch: &Patch) -> Result<K, ApiError> {
        self.api().patch(namespace, name, "status", patch).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// As [`Api::delete`].
    pub async fn delete<K: Kind>(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), ApiError> {
        self.api::<K>().delete(namespace, name, options).await
    }

    /// Binds a pod to a node.
    ///
    /// # Errors
    /// [`ApiError::is_conflict`] when the pod is bound or changed, among others.
    pub async fn bind(&self, namespace: &str, pod: &str, uid: &str, node: &str) -> Result<(), ApiError> {
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(pod.to_owned()),
                namespace: Some(namespace.to_owned()),
                uid: Some(uid.to_owned()).filter(|uid| !uid.is_empty()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let pods = self.api::<k8s_openapi::api::core::v1::Pod>();
        pods.create_subresource::<Value>(namespace, pod, "binding", &binding).await.map(drop)
    }

    /// Evicts a pod, if disruption budgets allow.
    ///
    /// # Errors
    /// [`ApiError::is_too_many_requests`] while a budget forbids it, among others.
    pub async fn evict(&self, eviction: &Eviction) -> Result<(), ApiError> {
        let meta = &eviction.metadata;
        let (namespace, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let pods = self.api::<k8s_openapi::api::core::v1::Pod>();
        pods.create_subresource::<Value>(namespace, name, "eviction", eviction).await.map(drop)
    }

    /// Asks for a token of a service account.
    ///
    /// # Errors
    /// What the server says.
    pub async fn token(
        &self,
        namespace: &str,
        service_account: &str,
        request: &TokenRequest,
    ) -> Result<TokenRequest, ApiError> {
        let accounts = self.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        accounts.create_subresource(namespace, service_account, "token", request).await
    }

    /// Posts an object that is answered, not stored (`SubjectAccessReview`, `TokenReview`, …), as if it were made.
    ///
    /// # Errors
    /// What the server says.
    pub async fn post<T: Serialize + DeserializeOwned>(&self, path: &str, object: &T) -> Result<T, ApiError> {
        self.call(Method::POST, path.to_owned(), Some(json(object)?)).await
    }

    /// Any JSON document of the server: discovery, `/version`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get_path<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.call(Method::GET, path.to_owned(), None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Option<Bytes>,
    ) -> Result<T, ApiError> {
        let what = format!("{method} {path}");
        let body = self.open(method, path, body, "application/json").await?;
        decode(&what, body).await
    }

    /// Sends a request and gives the answer's body if the answer is a success.
    async fn open(
        &self,
        method: Method,
        path: String,
        body: Option<Bytes>,
        content_type: &str,
    ) -> Result<crate::Body, ApiError> {
        let what = format!("{method} {path}");
        let mut request = Request::builder().method(method).uri(path).header("accept", "application/json");
        if body.is_some() {
            request = request.header("content-type", content_type);
        }
        let request = request
            .body(full(body.unwrap_or_default()))
            .map_err(|error| ApiError::Transport { request: what.clone(), source: error.into() })?;
        let answer = self.send(request).await?;
        if answer.status().is_success() { Ok(answer.into_body()) } else { Err(refusal(&what, answer).await) }
    }
}

async fn decode<T: DeserializeOwned>(what: &str, body: crate::Body) -> Result<T, ApiError> {
    let bytes = collect(what, body).await?;
    serde_json::from_slice(&bytes).map_err(|source| ApiError::Decode { request: what.to_owned(), source })
}

async fn collect(what: &str, body: crate::Body) -> Result<Bytes, ApiError> {
    let collected = body.collect().await;
    collected.map(|all| all.to_bytes()).map_err(|source| ApiError::Transport { request: what.to_owned(), source })
}

/// The server's Status, or one made from the HTTP code when something before the server answered.
async fn refusal(what: &str, answer: http::Response<crate::Body>) -> ApiError {
    let code = answer.status();
    let bytes = match collect(what, answer.into_body()).await {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    let mut status = serde_json::from_slice::<Status>(&bytes).unwrap_or_else(|_| Status {
        message: Some(format!("{what}: {code}: {}", String::from_utf8_lossy(&bytes))),
        ..Status::default()
    });
    status.code = Some(status.code.filter(|code| *code != 0).unwrap_or_else(|| code.as_u16().into()));
    ApiError::Status(Box::new(status))
}

fn json(object: &impl Serialize) -> Result<Bytes, ApiError> {
    let written = serde_json::to_vec(object);
    written.map(Bytes::from).map_err(|source| ApiError::Decode { request: "write the request".to_owned(), source })
}
