//! Endpoints: the addresses behind a service, in the old form.

use std::collections::BTreeMap;

use client::driver::{Controller, Watches};
use client::{Action, Object, View};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{pods, services};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "endpoints-controller", workers: 5, watches, plan };

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// More addresses are cut off and the object marked.
const MAX_ADDRESSES: usize = 1000;

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Service>();
    watch.own::<Endpoints>();
    watch.on::<Pod>(services::of_pod);
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let known = view.get::<Endpoints>(key);
    let Some(service) = view.get::<Service>(key) else {
        let ours = known.filter(|endpoints| endpoints.label(MANAGED_BY) == "endpoint-controller");
        return ours.map(|endpoints| Action::delete(&*endpoints)).into_iter().collect();
    };
    if services::selector(&service).is_none() || service.is_deleted() {
        return Vec::new();
    }
    let wanted = wanted(&service, view);
    match known {
        None => vec![Action::create(&wanted)],
        Some(known) if same(&known, &wanted) => Vec::new(),
        Some(known) => {
            let mut endpoints = (*known).clone();
            endpoints.subsets = wanted.subsets;
            endpoints.metadata.labels = wanted.metadata.labels;
            let annotations = endpoints.metadata.annotations.get_or_insert_default();
            annotations.remove(OVER_CAPACITY);
            annotations.extend(wanted.metadata.annotations.unwrap_or_default());
            vec![Action::update(&endpoints)]
        }
    }
}

fn same(known: &Endpoints, wanted: &Endpoints) -> bool {
    let over = |endpoints: &Endpoints| endpoints.annotation(OVER_CAPACITY).map(str::to_owned);
    known.subsets.as_deref().unwrap_or_default() == wanted.subsets.as_deref().unwrap_or_default()
        && known.metadata.labels == wanted.metadata.labels
        && over(known) == over(wanted)
}

fn wanted(service: &Service, view: &View) -> Endpoints {
    let spec = service.spec.clone().unwrap_or_default();
    let pods = services::backends(service, services::publishes_not_ready(service), view);
    let mut subsets = Subsets::default();
    for pod in &pods {
        let ready = pods::is_ready(pod) || services::publishes_not_ready(service);
        let Some(address) = address(pod, service) else { continue };
        let ports = spec.ports.as_deref().unwrap_or_default();
        let found: Vec<EndpointPort> = ports.iter().filter_map(|port| endpoint_port(pod, port)).collect();
        if found.is_empty() && !(ports.is_empty() && services::is_headless(&spec)) {
            continue;
        }
        subsets.add(found, address, ready);
    }
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), "endpoint-controller".to_owned());
    labels.remove(services::HEADLESS);
    if services::is_headless(&spec) {
        labels.insert(services::HEADLESS.to_owned(), String::new());
    }
    let mut annotations = BTreeMap::new();
    if let Some(at) = services::trigger_time(service, &pods) {
        annotations.insert(services::LAST_CHANGE.to_owned(), machinery::meta::seconds(at));
    }
    if subsets.cut(MAX_ADDRESSES) {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        },
        subsets: Some(subsets.list()).filter(|subsets| !subsets.is_empty()),
    }
}

/// The pod's address of the service's first family.
fn address(pod: &Pod, service: &Service) -> Option<EndpointAddress> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    let v6 = families.first().is_some_and(|family| family == "IPv6");
    let ip = services::addresses(pod).find(|ip| ip.contains(':') == v6)?;
    Some(EndpointAddress {
        ip: ip.to_owned(),
        hostname: services::hostname(pod, service),
        node_name: Some(pods::node(pod).to_owned()).filter(|node| !node.is_empty()),
        target_ref: Some(services::target(pod)),
    })
}

fn endpoint_port(pod: &Pod, port: &ServicePort) -> Option<EndpointPort> {
    Some(EndpointPort {
        name: port.name.clone().filter(|name| !name.is_empty()),
        port: services::target_port(pod, port)?,
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    })
}

/// Addresses grouped by their ports.
#[derive(Default)]
struct Subsets(Vec<EndpointSubset>);

impl Subsets {
    fn add(&mut self, ports: Vec<EndpointPort>, address: EndpointAddress, ready: bool) {
        let ports = Some(ports).filter(|ports| !ports.is_empty());
        let at = self.0.iter().position(|subset| subset.ports == ports).unwrap_or_else(|| {
            self.0.push(EndpointSubset { ports, ..EndpointSubset::default() });
            self.0.len() - 1
        });
        let subset = &mut self.0[at];
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }

    /// Keeps at most `limit` addresses, ready ones first; whether some had to go.
    fn cut(&mut self, mut limit: usize) -> bool {
        let mut cut = false;
        for ready in [true, false] {
            for subset in &mut self.0 {
                let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
                let Some(addresses) = list else { continue };
                cut |= addresses.len() > limit;
                addresses.truncate(limit);
                limit -= addresses.len();
            }
        }
        cut
    }

    fn list(mut self) -> Vec<EndpointSubset> {
        let order =
            |address: &EndpointAddress| (address.ip.clone(), address.target_ref.as_ref().and_then(|t| t.uid.clone()));
        for subset in &mut self.0 {
            for list in [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten() {
                list.sort_by_key(order);
            }
        }
        self.0.sort_by_key(|subset| {
            let ports = subset.ports.iter().flatten();
            ports.map(|port| (port.port, port.name.clone())).collect::<Vec<_>>()
        });
        self.0
    }
}
