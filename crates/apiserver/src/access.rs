//! Who may do what to this server: authentication, authorization and admission as the pipeline asks them.

use std::sync::Arc;

use base::metrics::Registry;
use base::{Clock, Random};
use http::request::Parts;
use kinds::Kind;
use machinery::{Status, Value};

use crate::admission::{self, Lister, Operation, Plugins};
use crate::authentication::service_account::Tokens;
use crate::authentication::{Authenticator, ClientCertificates, TokenFile, impersonate};
use crate::authorization::{Attributes, Authorizer, Change, Mode, OBSERVED, escalation};
use crate::cache::{Cacher, Item, Observer, Selection};
use crate::call::Call;
use crate::http::Peer;
use crate::server::Server;
use crate::{RequestInfo, User};

/// What decides who may do what.
#[derive(Debug)]
pub struct Settings {
    /// Who is asked for permission, in this order (`--authorization-mode`).
    pub modes: Vec<Mode>,
    /// Client certificates that count; none: nobody comes by one.
    pub certificates: ClientCertificates,
    /// Static tokens (`--token-auth-file`).
    pub token_file: TokenFile,
    /// Tokens of service accounts.
    pub tokens: Tokens,
    /// Whether who shows nothing is `system:anonymous` rather than refused (`--anonymous-auth`).
    pub anonymous: bool,
    /// Whether bootstrap tokens count (`--enable-bootstrap-token-auth`).
    pub bootstrap_tokens: bool,
    /// The admission plugins that run.
    pub plugins: Plugins,
}

/// Authentication, authorization and admission of one server.
pub struct Access {
    /// Finds out who asks.
    pub authenticator: Authenticator,
    /// Decides what they may do.
    pub authorizer: Arc<Authorizer>,
    random: Random,
    plugins: Plugins,
}

impl Access {
    /// Over the objects of `cacher`, whose changes `authorizer` hears of.
    #[must_use]
    pub fn new(
        settings: Settings,
        authorizer: Arc<Authorizer>,
        cacher: Arc<Cacher>,
        clock: Clock,
        random: Random,
    ) -> Self {
        let authenticator = Authenticator {
            certificates: settings.certificates,
            token_file: settings.token_file,
            tokens: Arc::new(settings.tokens),
            bootstrap_tokens: settings.bootstrap_tokens,
            objects: Arc::new(Cached(cacher)),
            clock,
            anonymous: settings.anonymous,
        };
        Self { authenticator, authorizer, random, plugins: settings.plugins }
    }

    /// What is counted of certificates, tokens and admission.
    #[must_use]
    pub fn registries(&self) -> [Registry; 4] {
        let [timings, pod_security] = self.plugins.registries();
        let authenticator = &self.authenticator;
        [authenticator.certificates.registry(), authenticator.tokens.counts.registry.clone(), timings, pod_security]
    }

    /// Whether an admission plugin has not been left out.
    #[must_use]
    pub fn runs(&self, plugin: &str) -> bool {
        self.plugins.runs(plugin)
    }

    /// Who sends a request: an in-process caller brings its identity along, all others are authenticated; either may
    /// act as somebody else, if allowed.
    ///
    /// # Errors
    /// What to answer instead.
    pub fn user(&self, parts: &Parts, request: &RequestInfo) -> Result<User, Status> {
        let caller = match parts.extensions.get::<User>() {
            Some(user) => user.clone(),
            None => {
                let peer = parts.extensions.get::<Peer>();
                let chain = peer.map_or(&[][..], |peer| &peer.certificates);
                self.authenticator.authenticate(chain, &parts.headers)?
            }
        };
        Ok(impersonate(&self.authorizer, &caller, request, &parts.headers)?.unwrap_or(caller))
    }

    /// Whether `user` may do what is asked.
    ///
    /// # Errors
    /// 403 with the reason.
    pub fn authorize(&self, user: &User, request: &RequestInfo) -> Result<(), Status> {
        self.authorizer.require(&Attributes::of(user, request))
    }
}

/// A write as admission sees it.
pub struct Write<'a> {
    /// What is done.
    pub operation: Operation,
    /// The resource.
    pub kind: &'static Kind,
    /// The kind of the body; a subresource's may be another than the resource's.
    pub body_kind: &'a str,
    /// The object that is; none on a create.
    pub old: Option<&'a Value>,
    /// Whether nothing is to be kept.
    pub dry_run: bool,
}

/// The two phases of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Admit,
    Validate,
}

/// Lets admission plugins change `object`, or refuse it.
///
/// # Errors
/// The answer of the plugin that refuses.
pub async fn admit(server: &Server, call: &mut Call, write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    ask(server, call, write, object, Phase::Admit).await
}

/// Lets admission plugins check what `object` has become.
///
/// # Errors
/// The answer of the plugin that refuses.
pub async fn validate(server: &Server, call: &mut Call, write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    ask(server, call, write, object, Phase::Validate).await
}

/// Whether the user may hand on the rights that a role or a binding gives; for other kinds there is nothing to ask.
///
/// # Errors
/// 403 with the rights that the user lacks, 404 for a binding to a role that is not there.
pub async fn hands_on(server: &Server, call: &Call, write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if write.kind.group != escalation::GROUP {
        return Ok(());
    }
    let question = escalation::Write {
        user: &call.user,
        resource: write.kind.plural,
        namespace: &call.info.namespace,
        name: &call.info.name,
        object,
        old: write.old,
    };
    let before = server.cacher.revision();
    let Err(status) = question.check(&server.access.authorizer) else { return Ok(()) };
    server.cacher.catch_up().await?;
    if server.cacher.revision() == before { Err(status) } else { question.check(&server.access.authorizer) }
}

/// A refusal counts only when the cache was up to date; a plugin that ran before finds its change made.
async fn ask(
    server: &Server,
    call: &mut Call,
    write: &Write<'_>,
    object: &mut Value,
    phase: Phase,
) -> Result<(), Status> {
    let before = server.cacher.revision();
    let Err(status) = ask_once(server, call, write, object, phase) else { return Ok(()) };
    server.cacher.catch_up().await?;
    if server.cacher.revision() == before { Err(status) } else { ask_once(server, call, write, object, phase) }
}

fn ask_once(
    server: &Server,
    call: &mut Call,
    write: &Write<'_>,
    object: &mut Value,
    phase: Phase,
) -> Result<(), Status> {
    let access = &server.access;
    let mut request = admission::Request {
        operation: write.operation,
        group: write.kind.group,
        kind: write.body_kind,
        resource: write.kind.plural,
        subresource: &call.info.subresource,
        namespace: &call.info.namespace,
        name: &call.info.name,
        object,
        old: write.old,
        user: &call.user,
        dry_run: write.dry_run,
        warnings: Vec::new(),
    };
    let context = admission::Context {
        objects: &*access.authenticator.objects,
        authorizer: &access.authorizer,
        random: &access.random,
        pod_security: &access.plugins.pod_security,
    };
    let result = match phase {
        Phase::Admit => access.plugins.admit(&mut request, &context),
        Phase::Validate => access.plugins.validate(&mut request, &context),
    };
    let warnings = request.warnings;
    call.warnings.extend(warnings);
    result
}

/// Tells the authorizer of changes of what it depends on.
pub(crate) struct Watching(pub Arc<Authorizer>);

impl Observer for Watching {
    fn wants(&self, kind: &Kind) -> bool {
        OBSERVED.contains(&(kind.group, kind.plural))
    }

    /// A pod that is on no node gives none a right.
    fn minds(&self, kind: &Kind, object: &Value) -> bool {
        let is_pod = kind.group.is_empty() && kind.plural == "pods";
        !is_pod || object.str_at(&["spec", "nodeName"]).is_some_and(|node| !node.is_empty())
    }

    fn observe(&self, kind: &Kind, namespace: &str, name: &str, object: Option<&Value>) {
        let change = object.map_or(Change::Delete, Change::Put);
        self.0.observe(kind.group, kind.plural, namespace, name, change);
    }
}

/// The objects of the cache, read when they are asked for.
struct Cached(Arc<Cacher>);

/// Kinds whose trees stay with their objects: admission asks for them at every write, and there are few of them.
const KEPT: [&str; 7] = [
    "namespaces",
    "serviceaccounts",
    "limitranges",
    "priorityclasses",
    "runtimeclasses",
    "storageclasses",
    "ingressclasses",
];

impl Lister for Cached {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let kind = kinds::stored(group, resource)?;
        Some(read(kind, &*self.0.of(kind)?.get(namespace, name)?))
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some((kind, cache)) = kinds::stored(group, resource).and_then(|kind| Some((kind, self.0.of(kind)?))) else {
            return Vec::new();
        };
        let items = cache.snapshot(&Selection::all(namespace)).items;
        items.iter().map(|item| read(kind, item)).collect()
    }
}

fn read(kind: &Kind, item: &Item) -> Arc<Value> {
    if KEPT.contains(&kind.plural) { item.tree() } else { Arc::new(item.value()) }
}
