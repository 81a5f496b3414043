//! Runs controllers: wakes them when what they watch changes, carries out their plans, waits until the informers show
//! what was written, and backs off when something fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, Tasks};
use futures::FutureExt;
use futures::future::BoxFuture;
use machinery::Value;
use parking_lot::Mutex;

use crate::informers::Written;
use crate::{
    Action, ApiError, Change, Context, IndexFn, Informers, Kind, QUEUE_BACKOFF, Queue, Recorder, Settings, View, Write,
    WriteKind,
};

/// A write that the informers do not show after so long is waited for no more: it was undone in between.
const MAX_WAIT_FOR_OWN_WRITE: Duration = Duration::from_secs(300);

/// A controller: what wakes it, and what it then does about one key.
#[derive(Clone, Copy)]
pub struct Controller {
    /// Upstream's name, as `--controllers` and metrics have it.
    pub name: &'static str,
    /// How many keys are worked on at once.
    pub workers: usize,
    /// Declares what is watched and read.
    pub watches: fn(&mut Watches<'_>),
    /// Decides what to do about the object of this key, which may be gone.
    pub plan: fn(&str, &View) -> Vec<Action>,
}

/// Collects what a controller watches.
pub struct Watches<'a> {
    informers: &'a Informers,
    runner: Option<&'a Arc<Runner>>,
}

impl Watches<'_> {
    /// Declares the indexes of `controller` on informers that never run: for tests of plans.
    pub fn declare(controller: &Controller, informers: &Informers) {
        (controller.watches)(&mut Watches { informers, runner: None });
    }

    /// Objects of this kind are read, but do not wake the controller.
    pub fn read<K: Kind>(&mut self) {
        let _ = self.informers.of::<K>();
    }

    /// Objects of this kind are found by an index.
    pub fn index<K: Kind>(&mut self, name: &'static str, values: IndexFn<K>) {
        self.informers.of::<K>().index(name, values);
    }

    /// A change of an object wakes the controller for the keys that `keys` gives.
    pub fn on<K: Kind>(&mut self, keys: fn(&Change<K>, &View) -> Vec<String>) {
        let informer = self.informers.of::<K>();
        let Some(runner) = self.runner.cloned() else { return };
        informer.observe(move |change| {
            for key in keys(change, &runner.view()) {
                runner.queue.add(key);
            }
            runner.wake_parked();
        });
    }

    /// A change of an object wakes the controller for its own key.
    pub fn own<K: Kind>(&mut self) {
        self.on::<K>(|change, _| vec![change.key.to_string()]);
    }

    /// A change of an object wakes the controller for its managing owner, if that is an `O`.
    pub fn owned<K: Kind, O: Kind>(&mut self) {
        self.on::<K>(|change, _| {
            let owners = change.states().filter_map(|object| Some((object.namespace(), object.controller()?)));
            let owners = owners.filter(|(_, owner)| owner.kind == O::KIND && owner.api_version == O::API_VERSION);
            let mut keys: Vec<String> = owners.map(|(namespace, owner)| crate::key(namespace, &owner.name)).collect();
            keys.dedup();
            keys
        });
    }
}

/// Starts `controllers`; they work once their informers are filled, until the context is cancelled.
pub async fn run(
    controllers: &[Controller],
    settings: &Settings,
    context: &Context,
    informers: &Informers,
    recorder: &Recorder,
) {
    let start = |controller: &Controller| Runner::new(*controller, settings, context, informers, recorder);
    let runners: Vec<Arc<Runner>> = controllers.iter().map(start).collect();
    for runner in &runners {
        (runner.controller.watches)(&mut Watches { informers, runner: Some(runner) });
    }
    informers.synced().await;
    let mut tasks = Tasks::new();
    for runner in &runners {
        for _ in 0..runner.controller.workers {
            tasks.spawn(runner.controller.name, runner.clone().work());
        }
    }
    context.cancel.cancelled().await;
    runners.iter().for_each(|runner| runner.queue.close());
    tasks.join_all().await;
}

/// Own writes that the informers do not show yet, by key.
#[derive(Default)]
struct Unseen {
    writes: HashMap<String, (Vec<Written>, Instant)>,
    parked: Vec<String>,
}

struct Runner {
    controller: Controller,
    settings: Settings,
    context: Context,
    informers: Informers,
    recorder: Recorder,
    queue: Queue<String>,
    unseen: Mutex<Unseen>,
}

impl Runner {
    fn new(
        controller: Controller,
        settings: &Settings,
        context: &Context,
        informers: &Informers,
        recorder: &Recorder,
    ) -> Arc<Self> {
        let settings = settings.clone();
        let queue = Queue::new(context.clock.clone(), context.random.clone(), QUEUE_BACKOFF);
        let queue = queue.of_controller(controller.name);
        let (context, informers, recorder) = (context.clone(), informers.clone(), recorder.clone());
        Arc::new(Self { controller, settings, context, informers, recorder, queue, unseen: Mutex::default() })
    }

    fn view(&self) -> View {
        View {
            now: self.context.clock.now(),
            random: self.context.random.clone(),
            informers: self.informers.clone(),
            settings: self.settings.clone(),
        }
    }

    async fn work(self: Arc<Self>) {
        while let Some(key) = self.queue.next().await {
            if !self.park(&key) {
                self.step(&key).await;
            }
            self.queue.done(&key);
        }
    }

    /// Plans and acts once for `key`.
    async fn step(&self, key: &str) {
        let actions = (self.controller.plan)(key, &self.view());
        let mut acting = Acting { runner: self, key, written: Vec::new() };
        let outcome = acting.all(actions).await;
        let written = acting.written;
        if !written.is_empty() {
            let until = self.context.clock.instant() + MAX_WAIT_FOR_OWN_WRITE;
            self.unseen.lock().writes.insert(key.to_owned(), (written, until));
        }
        match outcome {
            Ok(()) => self.queue.succeeded(&key.to_owned()),
            Err(failure) => {
                let wait = self.queue.add_failed(key.to_owned());
                let controller = self.controller.name;
                match failure {
                    // It changed or went away since it was seen: the next plan sees that.
                    Failure::Api(error) if error.is_conflict() || error.is_not_found() => {
                        tracing::debug!(controller, key, %error, ?wait, "a plan is out of date");
                    }
                    Failure::Api(error) => tracing::warn!(controller, key, %error, ?wait, "a plan failed"),
                    Failure::Plan(error) => tracing::warn!(controller, key, error, ?wait, "a plan failed"),
                }
            }
        }
    }

    /// Puts `key` aside if the informers do not show its last writes yet.
    fn park(&self, key: &str) -> bool {
        let mut unseen = self.unseen.lock();
        let Some((written, until)) = unseen.writes.get(key) else { return false };
        let now = self.context.clock.instant();
        if now >= *until || written.iter().all(|write| self.informers.show(write)) {
            unseen.writes.remove(key);
            return false;
        }
        let wait = *until - now;
        if !unseen.parked.iter().any(|parked| parked == key) {
            unseen.parked.push(key.to_owned());
        }
        self.queue.add_after(key.to_owned(), wait);
        true
    }

    fn wake_parked(&self) {
        let unseen = &mut *self.unseen.lock();
        let (writes, informers) = (&unseen.writes, &self.informers);
        unseen.parked.retain(|key| {
            let shown = writes.get(key).is_none_or(|(written, _)| written.iter().all(|write| informers.show(write)));
            if shown {
                self.queue.add(key.clone());
            }
            !shown
        });
    }
}

enum Failure {
    Api(ApiError),
    Plan(String),
}

/// Carries out one plan.
struct Acting<'a> {
    runner: &'a Runner,
    key: &'a str,
    written: Vec<Written>,
}

impl Acting<'_> {
    async fn all(&mut self, actions: Vec<Action>) -> Result<(), Failure> {
        for action in actions {
            self.one(action).await?;
        }
        Ok(())
    }

    fn one(&mut self, action: Action) -> BoxFuture<'_, Result<Value, Failure>> {
        async move {
            match action {
                Action::Write(write) => return self.write(&write).await,
                Action::Batch(actions) => self.batch(actions).await?,
                Action::Then(action, next) => {
                    let outcome = self.one(*action).await;
                    let next = match &outcome {
                        Ok(answer) => next(Ok(answer)),
                        Err(Failure::Api(error)) => next(Err(error)),
                        Err(Failure::Plan(_)) => Vec::new(),
                    };
                    let followed = self.all(next).await;
                    return outcome.and_then(|answer| followed.map(|()| answer));
                }
                Action::Event(occurrence) => self.runner.recorder.record(*occurrence),
                Action::Requeue(after) => self.runner.queue.add_after(self.key.to_owned(), after),
                Action::Fail(why) => return Err(Failure::Plan(why)),
            }
            Ok(Value::Null)
        }
        .boxed()
    }

    async fn batch(&mut self, actions: Vec<Action>) -> Result<(), Failure> {
        let (runner, key) = (self.runner, self.key);
        let mut left = actions.into_iter();
        let mut size = 1;
        while left.len() > 0 {
            let now = left.by_ref().take(size).map(|action| async move {
                let mut acting = Acting { runner, key, written: Vec::new() };
                let outcome = acting.one(action).await;
                (acting.written, outcome)
            });
            let done = futures::future::join_all(now).await;
            let mut outcome = Ok(());
            for (written, result) in done {
                self.written.extend(written);
                outcome = outcome.and(result.map(drop));
            }
            outcome?;
            size *= 2;
        }
        Ok(())
    }

    async fn write(&mut self, write: &Write) -> Result<Value, Failure> {
        let api = self.runner.context.client.dynamic(write.resource.clone());
        let (namespace, name) = (write.namespace.as_str(), write.name.as_str());
        let outcome = match &write.change {
            WriteKind::Create(object) if write.subresource.is_empty() => api.create(namespace, object).await,
            WriteKind::Create(object) => api.create_subresource(namespace, name, write.subresource, object).await,
            WriteKind::Update(object) => api.update(namespace, name, write.subresource, object).await,
            WriteKind::Patch(patch) => api.patch(namespace, name, write.subresource, patch).await,
            WriteKind::Delete(options, _) => api.delete(namespace, name, options).await.map(|()| Value::Null),
        };
        match (outcome, &write.change) {
            (Ok(_), WriteKind::Delete(_, uid)) => {
                let (resource, key) = (write.resource.clone(), crate::key(namespace, name));
                self.written.push(Written::Deletion { resource, key, uid: uid.clone() });
                Ok(Value::Null)
            }
            (Ok(answer), _) => {
                let revision = answer.str_at(&["metadata", "resourceVersion"]).and_then(|text| text.parse().ok());
                if let Some(revision) = revision {
                    self.written.push(Written::Revision { resource: write.resource.clone(), revision });
                }
                Ok(answer)
            }
            (Err(error), WriteKind::Delete(..)) if error.is_not_found() => Ok(Value::Null),
            (Err(error), WriteKind::Create(_)) if error.is_namespace_terminating() => Ok(Value::Null),
            (Err(error), _) => Err(Failure::Api(error)),
        }
    }
}
