//! EndpointSlice: the addresses behind a service, at most a hundred a slice, so that a change stays small.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::driver::{Controller, Watches};
use client::{Action, Object, View};
use k8s_openapi::api::core::v1::{Node, Pod, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{owners, pods, services};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "endpointslice-controller", workers: 5, watches, plan };

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Endpoints a slice.
const MAX_ENDPOINTS: usize = 100;

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Service>();
    watch.on::<Pod>(services::of_pod);
    watch.on::<EndpointSlice>(|change, _| {
        let slice = change.object();
        if slice.label(MANAGED_BY) != MANAGER {
            return Vec::new();
        }
        vec![client::key(slice.namespace(), slice.label(SERVICE_NAME))]
    });
    watch.index::<EndpointSlice>("service", |slice| vec![client::key(slice.namespace(), slice.label(SERVICE_NAME))]);
    watch.on::<Node>(|change, view| {
        let zone = |node: &Arc<Node>| node.label(ZONE).to_owned();
        if change.old.as_ref().map(zone) == change.new.as_ref().map(zone) {
            return Vec::new();
        }
        view.list::<Service>().iter().map(|service| service.key()).collect()
    });
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(service) = view.get::<Service>(key) else { return Vec::new() };
    let Some(spec) = service.spec.as_ref().filter(|spec| spec.selector.is_some()) else { return Vec::new() };
    if service.is_deleted() {
        return Vec::new();
    }
    let mut known = view.by_index::<EndpointSlice>("service", key);
    known.retain(|slice| slice.label(MANAGED_BY) == MANAGER && !slice.is_deleted());
    let pods = services::backends(&service, true, view);
    let trigger = services::trigger_time(&service, &pods).map(machinery::meta::seconds);
    let mut actions = Vec::new();
    for family in families(spec) {
        let (ours, others) = known.into_iter().partition(|slice| slice.address_type == family);
        known = others;
        let wanted = wanted(&service, spec, family, &pods, view);
        let mut reconciled =
            Reconciled { service: &service, spec, family, trigger: trigger.clone(), actions: Vec::new() };
        reconciled.family(ours, wanted);
        actions.extend(reconciled.actions);
    }
    actions.extend(known.iter().map(|slice| Action::delete(&**slice)));
    actions
}

fn families(spec: &ServiceSpec) -> Vec<&str> {
    match spec.ip_families.as_deref() {
        None | Some([]) => vec!["IPv4"],
        Some(families) => families.iter().map(String::as_str).collect(),
    }
}

/// Endpoints by their ports; the empty service has one group without endpoints.
type Groups = Vec<(Vec<EndpointPort>, Vec<Endpoint>)>;

fn wanted(service: &Service, spec: &ServiceSpec, family: &str, pods: &[Arc<Pod>], view: &View) -> Groups {
    let mut groups = Groups::new();
    for pod in pods {
        let v6 = family == "IPv6";
        let Some(ip) = services::addresses(pod).find(|ip| ip.contains(':') == v6) else { continue };
        let ports = ports(pod, spec);
        if ports.is_empty() && !spec.ports.as_ref().is_none_or(Vec::is_empty) {
            continue;
        }
        let endpoint = endpoint(service, spec, pod, ip, view);
        match groups.iter_mut().find(|(known, _)| *known == ports) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => groups.push((ports, vec![endpoint])),
        }
    }
    groups
}

fn ports(pod: &Pod, spec: &ServiceSpec) -> Vec<EndpointPort> {
    let found = spec.ports.iter().flatten().filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(services::target_port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    found.collect()
}

fn endpoint(service: &Service, spec: &ServiceSpec, pod: &Pod, ip: &str, view: &View) -> Endpoint {
    let (serving, terminating) = (pods::is_ready(pod), pod.is_deleted());
    let ready = services::publishes_not_ready(service) || (serving && !terminating);
    let node = Some(pods::node(pod).to_owned()).filter(|node| !node.is_empty());
    let zone = node.as_ref().and_then(|node| view.get::<Node>(node)).map(|node| node.label(ZONE).to_owned());
    let zone = zone.filter(|zone| !zone.is_empty());
    let hints = hints(spec, zone.as_ref(), node.as_ref()).filter(|_| ready);
    Endpoint {
        addresses: vec![ip.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: services::hostname(pod, service),
        target_ref: Some(services::target(pod)),
        node_name: node,
        zone,
        hints,
        deprecated_topology: None,
    }
}

/// With a traffic distribution every endpoint serves its own zone (or node); proxies fall back where there is none.
fn hints(spec: &ServiceSpec, zone: Option<&String>, node: Option<&String>) -> Option<EndpointHints> {
    let distribution = spec.traffic_distribution.as_deref()?;
    let for_zones = Some(vec![ForZone { name: zone?.clone() }]);
    match distribution {
        "PreferClose" | "PreferSameZone" => Some(EndpointHints { for_zones, for_nodes: None }),
        "PreferSameNode" => Some(EndpointHints { for_zones, for_nodes: Some(vec![ForNode { name: node?.clone() }]) }),
        _ => None,
    }
}

/// Brings the slices of one address family from what is to what should be, with few writes.
struct Reconciled<'a> {
    service: &'a Service,
    spec: &'a ServiceSpec,
    family: &'a str,
    trigger: Option<String>,
    actions: Vec<Action>,
}

impl Reconciled<'_> {
    fn family(&mut self, mut known: Vec<Arc<EndpointSlice>>, wanted: Groups) {
        if wanted.is_empty() {
            return self.empty(known);
        }
        for (ports, endpoints) in wanted {
            let same = |slice: &Arc<EndpointSlice>| slice.ports.as_deref().unwrap_or_default() == ports.as_slice();
            let (ours, others) = known.into_iter().partition(same);
            known = others;
            self.group(ours, &ports, endpoints);
        }
        self.actions.extend(known.iter().map(|slice| Action::delete(&**slice)));
    }

    /// A service without endpoints keeps one slice that says so.
    fn empty(&mut self, known: Vec<Arc<EndpointSlice>>) {
        let mut known = known.into_iter();
        match known.next() {
            None => self.create(&[], Vec::new()),
            Some(slice) => {
                let bare = slice.endpoints.iter().flatten().next().is_none();
                let unchanged = bare && slice.ports.iter().flatten().next().is_none();
                let emptied = EndpointSlice { endpoints: None, ports: None, ..(*slice).clone() };
                self.keep(&slice, emptied, unchanged);
            }
        }
        self.actions.extend(known.map(|slice| Action::delete(&*slice)));
    }

    fn group(&mut self, known: Vec<Arc<EndpointSlice>>, ports: &[EndpointPort], endpoints: Vec<Endpoint>) {
        let mut missing: BTreeMap<String, Endpoint> = endpoints.into_iter().map(|e| (identity(&e), e)).collect();
        let mut slices: Vec<(Arc<EndpointSlice>, Vec<Endpoint>, bool)> = Vec::new();
        for slice in known {
            let before: &[Endpoint] = slice.endpoints.as_deref().unwrap_or_default();
            let after: Vec<Endpoint> = before.iter().filter_map(|known| missing.remove(&identity(known))).collect();
            let changed = after.as_slice() != before;
            slices.push((slice, after, changed));
        }
        // Slices that change anyway take new endpoints first; the fullest of the others next.
        slices.sort_by_key(|(_, endpoints, changed)| (!changed, std::cmp::Reverse(endpoints.len())));
        let mut missing: Vec<Endpoint> = missing.into_values().collect();
        for (_, endpoints, changed) in &mut slices {
            let room = MAX_ENDPOINTS.saturating_sub(endpoints.len()).min(missing.len());
            if room > 0 && (*changed || room == missing.len()) {
                endpoints.extend(missing.drain(..room));
                *changed = true;
            }
        }
        for chunk in missing.chunks(MAX_ENDPOINTS) {
            self.create(ports, chunk.to_vec());
        }
        for (slice, endpoints, changed) in slices {
            if endpoints.is_empty() {
                self.actions.push(Action::delete(&*slice));
            } else {
                let new = EndpointSlice { endpoints: Some(endpoints), ..(*slice).clone() };
                self.keep(&slice, new, !changed);
            }
        }
    }

    fn create(&mut self, ports: &[EndpointPort], endpoints: Vec<Endpoint>) {
        self.actions.push(Action::create(&EndpointSlice {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", self.service.name())),
                namespace: self.service.metadata.namespace.clone(),
                labels: Some(self.labels()),
                annotations: self.annotations(),
                owner_references: Some(vec![owners::controller_reference(self.service)]),
                ..ObjectMeta::default()
            },
            address_type: self.family.to_owned(),
            endpoints: Some(endpoints),
            ports: Some(ports.to_vec()),
        }));
    }

    fn keep(&mut self, known: &EndpointSlice, mut new: EndpointSlice, unchanged: bool) {
        let labels = Some(self.labels());
        if unchanged && known.metadata.labels == labels {
            return;
        }
        new.metadata.labels = labels;
        if let Some(annotations) = self.annotations() {
            new.metadata.annotations.get_or_insert_default().extend(annotations);
        }
        self.actions.push(Action::update(&new));
    }

    fn annotations(&self) -> Option<BTreeMap<String, String>> {
        Some(BTreeMap::from([(services::LAST_CHANGE.to_owned(), self.trigger.clone()?)]))
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.service.metadata.labels.clone().unwrap_or_default();
        labels.remove(services::HEADLESS);
        if services::is_headless(self.spec) {
            labels.insert(services::HEADLESS.to_owned(), String::new());
        }
        labels.insert(SERVICE_NAME.to_owned(), self.service.name().to_owned());
        labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
        labels
    }
}

/// The same pod at the same address is the same endpoint, whatever its state.
fn identity(endpoint: &Endpoint) -> String {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or_default();
    format!("{} {uid}", endpoint.addresses.join(","))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::table;

    const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a, uid: s1, labels: {team: x}}
spec: {selector: {app: web}, clusterIP: 10.0.0.1, ports: [{name: http, port: 80, targetPort: web, protocol: TCP}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}
";

    fn pod(name: &str, ip: &str, meta: &str) -> String {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: a, uid: {name}, labels: {{app: web}}{meta}}}
spec: {{nodeName: n1, containers: [{{name: c, ports: [{{name: web, containerPort: 8080}}]}}]}}
status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: 'True'}}]}}
"
        )
    }

    #[test]
    fn slices_follow_pods() {
        let slice = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-1
  namespace: a
  labels: {team: x, kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- addresses: [10.1.0.1]
  conditions: {ready: true, serving: true, terminating: false}
  nodeName: n1
  zone: z1
  targetRef: {kind: Pod, namespace: a, name: x, uid: x}
";
        let (x, leaving) =
            (pod("x", "10.1.0.1", ""), pod("x", "10.1.0.1", ", deletionTimestamp: '2026-01-01T00:00:00Z'"));
        for (state, expected) in [
            (
                String::new(),
                expect![[r#"
                create EndpointSlice a/ {"addressType":"IPv4","endpoints":[],"metadata":{"generateName":"web-","labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"x"},"namespace":"a","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Service","name":"web","uid":"s1"}]},"ports":[]}
            "#]],
            ),
            (
                x.clone(),
                expect![[r#"
                create EndpointSlice a/ {"addressType":"IPv4","endpoints":[{"addresses":["10.1.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"x","namespace":"a","uid":"x"},"zone":"z1"}],"metadata":{"generateName":"web-","labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"x"},"namespace":"a","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Service","name":"web","uid":"s1"}]},"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}
            "#]],
            ),
            (x.clone() + slice, expect![[""]]),
            (
                leaving + slice,
                expect![[r#"
                update EndpointSlice a/web-1 {"addressType":"IPv4","endpoints":[{"addresses":["10.1.0.1"],"conditions":{"ready":false,"serving":true,"terminating":true},"nodeName":"n1","targetRef":{"kind":"Pod","name":"x","namespace":"a","uid":"x"},"zone":"z1"}],"metadata":{"labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"x"},"name":"web-1","namespace":"a"},"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}
            "#]],
            ),
            (
                slice.to_owned(),
                expect![[r#"
                update EndpointSlice a/web-1 {"addressType":"IPv4","metadata":{"labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"x"},"name":"web-1","namespace":"a"}}
            "#]],
            ),
            (
                x + &pod("w", "10.1.0.2", "") + slice,
                expect![[r#"
                update EndpointSlice a/web-1 {"addressType":"IPv4","endpoints":[{"addresses":["10.1.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"x","namespace":"a","uid":"x"},"zone":"z1"},{"addresses":["10.1.0.2"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"w","namespace":"a","uid":"w"},"zone":"z1"}],"metadata":{"labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"x"},"name":"web-1","namespace":"a"},"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}
            "#]],
            ),
        ] {
            expected.assert_eq(&table::plan(&CONTROLLER, "a/web", &(SERVICE.to_owned() + &state)));
        }
    }

    #[test]
    fn a_slice_holds_a_hundred() {
        let pods: String = (0..250).map(|n| pod(&format!("p{n}"), &format!("10.2.0.{n}"), "")).collect();
        let planned = table::plan(&CONTROLLER, "a/web", &(SERVICE.to_owned() + &pods));
        let sizes: Vec<usize> = planned.lines().map(|line| line.matches("\"addresses\"").count()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }
}
