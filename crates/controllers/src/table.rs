//! For tests of plans: objects as YAML in, one line an action out.

use std::sync::Arc;

use base::Random;
use client::driver::{Controller, Watches};
use client::{Informer, Informers, Kind, View};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use machinery::Value;

use crate::Options;

/// The time at which all tables are planned.
pub(crate) const NOW: &str = "2026-01-01T00:10:00Z";

/// A view of the objects in `yaml`.
pub(crate) fn view(controller: &Controller, yaml: &str) -> View {
    let objects = machinery::yaml::parse_all(yaml).expect("the table is YAML");
    let informers = Informers::fixed();
    macro_rules! fill {
        ($($kind:ty),*) => { $( insert::<$kind>(&informers, &objects); )* };
    }
    fill!(Pod, Node, Service, Endpoints, Namespace, ServiceAccount, ConfigMap, ReplicaSet, Deployment, DaemonSet);
    fill!(StatefulSet, Job, CronJob, Lease, EndpointSlice, PodDisruptionBudget, ClusterRole, ServiceCIDR, IPAddress);
    Watches::declare(controller, &informers);
    let settings =
        Arc::new(Options { root_ca: "PEM".into(), cluster_cidrs: vec!["10.1.0.0/16".into()], ..Options::default() });
    View { now: NOW.parse().expect("a time"), random: Random::seeded(1), informers, settings }
}

fn insert<K: Kind>(informers: &Informers, objects: &[Value]) {
    let of_kind = objects.iter().filter(|object| object.str_at(&["kind"]) == Some(K::KIND));
    informers.insert(Informer::<K>::fixed(
        of_kind.map(|object| machinery::from_value(object).unwrap_or_else(|error| panic!("{}: {error}", K::KIND))),
    ));
}

/// What `controller` plans for `key`, a line an action.
pub(crate) fn plan(controller: &Controller, key: &str, yaml: &str) -> String {
    let actions = (controller.plan)(key, &view(controller, yaml));
    actions.iter().map(|action| format!("{action}\n")).collect()
}
