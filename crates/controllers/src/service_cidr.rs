//! ServiceCIDR: a range says that it is ready, and stays until no service needs it any longer (KEP-1880).

use std::net::IpAddr;
use std::time::Duration;

use client::driver::{Controller, Watches};
use client::{Action, Object, Patch, View};
use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use machinery::{meta, value};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "service-cidr-controller", workers: 5, watches, plan };

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
const READY: &str = "Kubernetes Service CIDR is ready";
const NEEDED: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

/// A deleted range waits so long, until every server knows that it must not be used.
const GRACE: Duration = Duration::from_secs(10);

fn watches(watch: &mut Watches<'_>) {
    // A range may do without one that contains it, or have to do without.
    watch.on::<ServiceCIDR>(|change, view| {
        let others = view.list::<ServiceCIDR>();
        let own = change.object().key();
        let leaving = others.iter().filter(|other| other.is_deleted()).map(|other| other.key());
        leaving.filter(|key| *key != own).chain([own.clone()]).collect()
    });
    watch.on::<IPAddress>(|change, view| {
        let address = change.object().name().parse().ok();
        let ranges = view.list::<ServiceCIDR>();
        let leaving = ranges.iter().filter(|range| range.is_deleted());
        leaving
            .filter(|range| address.is_some_and(|address| contains(range, address)))
            .map(|range| range.key())
            .collect()
    });
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(range) = view.get::<ServiceCIDR>(key) else { return Vec::new() };
    let has_finalizer = range.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    if let Some(deleted) = &range.metadata.deletion_timestamp {
        if !has_finalizer {
            return Vec::new();
        }
        return leave(&range, deleted.0, view);
    }
    let mut actions = Vec::new();
    if !has_finalizer {
        let patch = value!({"metadata": {"finalizers": [FINALIZER]}});
        actions.push(Action::patch(&*range, "", Patch::Strategic(patch)));
    }
    if !says(&range, "True") {
        actions.push(say(&range, ("True", "", READY), view.now));
    }
    actions
}

/// A deleted range goes once nothing needs it.
fn leave(range: &ServiceCIDR, deleted: Timestamp, view: &View) -> Vec<Action> {
    if is_needed(range, view) {
        if says(range, "False") {
            return Vec::new();
        }
        return vec![say(range, ("False", "Terminating", NEEDED), view.now)];
    }
    let waited = Duration::try_from(view.now.duration_since(deleted)).unwrap_or_default();
    if waited < GRACE {
        return vec![Action::Requeue(GRACE - waited)];
    }
    let patch = value!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    vec![Action::patch(range, "", Patch::Strategic(patch))]
}

/// Whether an address of a service lies in this range and in no other.
fn is_needed(range: &ServiceCIDR, view: &View) -> bool {
    let all = view.list::<ServiceCIDR>();
    let others = || all.iter().filter(|other| other.name() != range.name());
    let is_covered = |network: &IpNet| others().flat_map(|other| networks(other)).any(|other| other.contains(network));
    let networks = networks(range);
    if networks.iter().all(is_covered) {
        return false;
    }
    let managed = |address: &IPAddress| {
        let labels = address.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(MANAGED_BY.0)).is_some_and(|by| by == MANAGED_BY.1)
    };
    let addresses = view.list::<IPAddress>();
    let addresses = addresses.iter().filter(|address| managed(address)).filter_map(|a| a.name().parse().ok());
    addresses.into_iter().any(|address| contains(range, address) && !others().any(|other| contains(other, address)))
}

fn networks(range: &ServiceCIDR) -> Vec<IpNet> {
    let cidrs = range.spec.iter().filter_map(|spec| spec.cidrs.as_ref()).flatten();
    cidrs.filter_map(|cidr| cidr.parse().ok()).collect()
}

/// Whether services can have the address from this range: the network's own and the one for broadcasts are nobody's.
fn contains(range: &ServiceCIDR, address: IpAddr) -> bool {
    networks(range).iter().any(|network| {
        let is_broadcast = network.addr().is_ipv4() && address == network.broadcast();
        network.contains(&address) && address != network.network() && !is_broadcast
    })
}

fn says(range: &ServiceCIDR, status: &str) -> bool {
    let conditions = range.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == status)
}

fn say(range: &ServiceCIDR, (status, reason, message): (&str, &str, &str), now: Timestamp) -> Action {
    let mut condition = value!({
        "type": "Ready",
        "status": status,
        "lastTransitionTime": (meta::seconds(now)),
        "message": message
    });
    if !reason.is_empty() {
        condition.set_at(&["reason"], reason);
    }
    let object = value!({
        "kind": "ServiceCIDR",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": (range.name())},
        "status": {"conditions": [condition]}
    });
    Action::patch(range, "status", Patch::Apply { object, field_manager: CONTROLLER.name.to_owned(), force: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;
    use expect_test::expect;

    fn range(name: &str, cidr: &str, metadata: &str) -> String {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {{name: {name}{metadata}}}, spec: {{cidrs: [{cidr}]}}}}\n---\n"
        )
    }

    const LEAVING: &str =
        ", deletionTimestamp: '2026-01-01T00:09:00Z', finalizers: [networking.k8s.io/service-cidr-finalizer]";
    const LEFT: &str =
        ", deletionTimestamp: '2026-01-01T00:09:56Z', finalizers: [networking.k8s.io/service-cidr-finalizer]";
    const ADDRESS: &str = "{apiVersion: networking.k8s.io/v1, kind: IPAddress, metadata: {name: 10.0.0.5, labels: {ipaddress.kubernetes.io/managed-by: ipallocator.k8s.io}}}";

    #[test]
    fn a_new_range_gets_ready() {
        expect![[r#"
            patch ServiceCIDR a {"metadata":{"finalizers":["networking.k8s.io/service-cidr-finalizer"]}}
            patch ServiceCIDR/status a {"metadata":{"name":"a"},"status":{"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubernetes Service CIDR is ready"}]}}
        "#]]
        .assert_eq(&table::plan(&CONTROLLER, "a", &range("a", "10.0.0.0/24", "")));
    }

    #[test]
    fn a_deleted_range_stays_while_it_is_needed() {
        let shown = [
            range("a", "10.0.0.0/24", LEAVING) + ADDRESS,
            range("a", "10.0.0.0/24", LEAVING) + &range("b", "10.0.0.0/16", "") + ADDRESS,
            range("a", "10.0.0.0/24", LEAVING),
            range("a", "10.0.0.0/24", LEFT),
        ]
        .map(|yaml| table::plan(&CONTROLLER, "a", &yaml))
        .join("");
        expect![[r#"
            patch ServiceCIDR/status a {"metadata":{"name":"a"},"status":{"conditions":[{"type":"Ready","status":"False","lastTransitionTime":"2026-01-01T00:10:00Z","message":"There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR","reason":"Terminating"}]}}
            patch ServiceCIDR a {"metadata":{"$deleteFromPrimitiveList/finalizers":["networking.k8s.io/service-cidr-finalizer"]}}
            patch ServiceCIDR a {"metadata":{"$deleteFromPrimitiveList/finalizers":["networking.k8s.io/service-cidr-finalizer"]}}
            requeue after 6s
        "#]]
        .assert_eq(&shown);
    }
}
