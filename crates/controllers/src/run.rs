//! Starts the controllers.

use std::sync::Arc;

use base::{CancellationToken, Clock, Random, Tasks};
use client::leader::{Candidate, lead};
use client::{Client, Context, EventApi, Informers, Recorder, Settings, driver};

use crate::{ALL, Options, garbage_collector, namespace, resource_quota};

/// Why the controllers cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--controllers` names one that is not here.
    #[error("{0:?} is not in the list of known controllers")]
    Unknown(String),
    /// Another instance took over; the process begins anew.
    #[error("leaderelection lost")]
    LeadLost,
}

/// Runs the controllers that `options` choose until `cancel`.
///
/// # Errors
/// A controller is not known; the lead was lost.
pub async fn run(
    client: Client,
    options: Options,
    clock: Clock,
    random: Random,
    cancel: CancellationToken,
) -> Result<(), Error> {
    check(&options)?;
    let context = Context { client, clock, random, cancel };
    let Some(identity) = options.leader_identity.clone() else {
        work(context, options).await;
        return Ok(());
    };
    let (namespace, name) = ("kube-system".to_owned(), "kube-controller-manager".to_owned());
    let candidate = Candidate { namespace, name, identity, watchdog: options.watchdog.clone() };
    let led = lead(&context, &candidate, |cancel| work(Context { cancel, ..context.clone() }, options)).await;
    if led { Ok(()) } else { Err(Error::LeadLost) }
}

fn check(options: &Options) -> Result<(), Error> {
    let names = options.controllers.iter().map(|entry| entry.strip_prefix('-').unwrap_or(entry));
    let mut unknown = names.filter(|name| *name != "*" && !known().any(|known| known == *name));
    unknown.next().map_or(Ok(()), |name| Err(Error::Unknown(name.to_owned())))
}

fn known() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|controller| controller.name).chain([namespace::NAME, garbage_collector::NAME, resource_quota::NAME])
}

/// What the events of a controller name as their source.
fn event_source(controller: &'static str) -> &'static str {
    match controller {
        "endpoints-controller" => "endpoint-controller",
        "endpointslice-controller" => "endpoint-slice-controller",
        "node-ipam-controller" => "cidrAllocator",
        "node-lifecycle-controller" => "node-controller",
        "replicationcontroller-controller" => "replication-controller",
        "disruption-controller" => "controllermanager",
        other => other,
    }
}

async fn work(context: Context, options: Options) {
    let mut tasks = Tasks::new();
    let informers = Informers::new(context.clone());
    let chosen: Vec<_> = ALL.iter().filter(|controller| options.runs(controller.name)).copied().collect();
    let identities = options.identities.clone();
    // Informers are shared and read as the process; each controller writes as itself.
    let own = |controller: &str| {
        let client = identities.as_ref().map_or_else(|| context.client.clone(), |own| own.of(controller));
        Context { client, ..context.clone() }
    };
    if options.runs(namespace::NAME) {
        tasks.spawn(namespace::NAME, namespace::run(own(namespace::NAME), informers.clone()));
    }
    if options.runs(garbage_collector::NAME) {
        tasks.spawn(garbage_collector::NAME, garbage_collector::run(own(garbage_collector::NAME)));
    }
    if options.runs(resource_quota::NAME) {
        tasks.spawn(resource_quota::NAME, resource_quota::run(own(resource_quota::NAME), informers.clone()));
    }
    let settings: Settings = Arc::new(options);
    // Events name the controller that recorded them, so each has a recorder of its own.
    let runs = chosen.into_iter().map(|controller| {
        let context = own(controller.name);
        let recorder = Recorder::start(&context, &mut tasks, EventApi::Core, event_source(controller.name), "");
        let (settings, informers) = (settings.clone(), informers.clone());
        async move { driver::run(&[controller], &settings, &context, &informers, &recorder).await }
    });
    futures::future::join_all(runs.collect::<Vec<_>>()).await;
    tasks.join_all().await;
    informers.stopped().await;
}
