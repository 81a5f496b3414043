//! The way to the API server: a clonable service, in process or over HTTPS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::ApiError;
use crate::metrics::{Answered, OfHost};

/// An error of a transport or a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// After so long without traffic an HTTP/2 connection is probed, as client-go does.
const HTTP2_PING_AFTER: Duration = Duration::from_secs(30);

/// A probe unanswered for so long closes the connection.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(15);

/// What client-go waits for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What metrics call the host of an API server in this process.
const IN_PROCESS: &str = "localhost";

/// A connection to the API server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    service: BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>,
    metrics: Arc<OfHost>,
}

impl Client {
    /// A client of any HTTP service, such as the API server in the same process.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service
            .map_err(Into::<BoxError>::into)
            .map_response(|answer: Response<B>| answer.map(|body| body.map_err(Into::into).boxed_unsync()));
        Self { service: BoxCloneSyncService::new(service), metrics: OfHost::of(IN_PROCESS) }
    }

    /// A client of a service in this process that takes the caller's identity from a request extension.
    pub fn in_process<S, B, U>(service: S, user: U) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        U: Clone + Send + Sync + 'static,
    {
        Self::new(service.map_request(move |mut request: Request<Body>| {
            request.extensions_mut().insert(user.clone());
            request
        }))
    }

    /// This client under a name of its own: what it writes belongs to the field manager of this name.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        let agent = http::HeaderValue::from_static(name);
        let service = self.service.map_request(move |mut request: Request<Body>| {
            request.headers_mut().entry(http::header::USER_AGENT).or_insert_with(|| agent.clone());
            request
        });
        Self { service: BoxCloneSyncService::new(service), ..self }
    }

    /// A client of the current context of the kubeconfig file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or names credentials that cannot be used.
    pub async fn from_kubeconfig(path: impl AsRef<Path>) -> Result<Self, ApiError> {
        let path = path.as_ref();
        let kubeconfig =
            Kubeconfig::read_from(path).map_err(|error| ApiError::Config(format!("{}: {error}", path.display())))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| ApiError::Config(format!("{}: {error}", path.display())))?;
        Self::from_config(&config)
    }

    /// A client of the API server that `config` names: certificates, tokens, token files and exec plugins as kubectl
    /// takes them; HTTP/2 where the server offers it. Connections are made when needed and made anew when they break.
    ///
    /// # Errors
    /// The credentials cannot be used, or a proxy is asked for.
    pub fn from_config(config: &Config) -> Result<Self, ApiError> {
        if let Some(proxy) = &config.proxy_url {
            return Err(ApiError::Config(format!("proxy-url {proxy} is not supported")));
        }
        // A process has one provider; the error only says that it is set already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(HTTP2_PING_AFTER)
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .build::<_, Body>(connector(config)?);
        let stack = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer().map_err(unusable)?)
            .layer(config.extra_headers_layer().map_err(unusable)?)
            .map_err(BoxError::from)
            .service(http);
        let host = config.cluster_url.authority().map_or("", |authority| authority.as_str());
        Ok(Self { metrics: OfHost::of(host), ..Self::new(stack) })
    }

    /// Sends any request; the URI is the path and query.
    ///
    /// # Errors
    /// No answer came. An answer with an error code is an answer here.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ApiError> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let clock = Clock::system();
        let (started, method, sent_bytes) =
            (clock.instant(), request.method().clone(), request.body().size_hint().exact());
        let answer: BoxFuture<'static, Result<Response<Body>, BoxError>> =
            self.service.clone().oneshot(request).boxed();
        let answer = answer.await;
        let received = answer.as_ref().ok();
        self.metrics.answered(&Answered {
            method,
            code: received.map(Response::status),
            took: clock.instant().saturating_duration_since(started),
            sent_bytes,
            received_bytes: received.and_then(|answer| answer.body().size_hint().exact()),
        });
        answer.map_err(|source| ApiError::Transport { request: what, source })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A body of known bytes.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn connector(config: &Config) -> Result<hyper_rustls::HttpsConnector<HttpConnector>, ApiError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(config.connect_timeout.unwrap_or(CONNECT_TIMEOUT)));
    let tls = config.rustls_client_config().map_err(unusable)?;
    let mut builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = rustls::pki_types::ServerName::try_from(name.clone()).map_err(unusable)?;
        builder = builder.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_all_versions().wrap_connector(tcp))
}

fn unusable(error: impl std::fmt::Display) -> ApiError {
    ApiError::Config(error.to_string())
}
