//! Makes the server known in the cluster under the name and address that pods expect.
//!
//! All servers of a cluster stand in one slice. Each puts itself in; one that is gone is taken out by the others when
//! its API server is no longer among the endpoints of the service `kubernetes`, which are kept by leases. So nothing
//! has to be renewed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::Backoff;
use client::{ApiError, Client, Context, Kind};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::Notify;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
/// The slice of the servers with IPv6 addresses: a slice has one family.
const NAME_IPV6: &str = "kube-dns-ipv6";
const PORT: i32 = 53;

/// The slice with the API servers that live.
const API_SERVERS: (&str, &str) = ("default", "kubernetes");

/// The ports by name and protocol.
const PORTS: [(&str, &str); 2] = [("dns", "UDP"), ("dns-tcp", "TCP")];

/// Between attempts that fail.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(30), jitter: 0.2 };

/// Taking ourselves out takes no longer: whoever waits for the process to end has waited for more.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where a server of a cluster is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The address that pods ask.
    pub cluster_ip: IpAddr,
    /// Where this server answers. An API server of the cluster has the same address.
    pub endpoint: SocketAddr,
    /// The node that this server runs on.
    pub node: String,
}

/// Whether a change of this slice (namespace/name) may concern a published server.
pub(crate) fn concerns(key: &str) -> bool {
    matches!(key.split_once('/'), Some(API_SERVERS | (NAMESPACE, NAME | NAME_IPV6)))
}

/// Keeps the server published until the context is cancelled, and then takes it out. It looks again whenever it is
/// woken.
pub(crate) async fn keep(context: Context, publication: Publication, wake: Arc<Notify>) {
    let Context { client, clock, random, cancel } = context;
    let mut failures = 0;
    loop {
        let done = cancel.run_until_cancelled(publish(&client, &publication)).await;
        let wait = match done {
            None => break,
            Some(Ok(())) => None,
            Some(Err(error)) => {
                failures += 1;
                // Another server was faster.
                if !error.is_conflict() {
                    tracing::warn!(%error, "the service kube-dns is not up to date");
                }
                Some(RETRY.delay(failures, &random))
            }
        };
        let waited = async {
            match wait {
                Some(delay) => clock.sleep(delay).await,
                None => {
                    failures = 0;
                    wake.notified().await;
                }
            }
        };
        if cancel.run_until_cancelled(waited).await.is_none() {
            break;
        }
    }
    if let Ok(Err(error)) = clock.timeout(FAREWELL, withdraw(&client, &publication)).await {
        tracing::warn!(%error, "this server stays among the endpoints of kube-dns until others take it out");
    }
}

/// Makes the Service `kube-system/kube-dns`, and puts the server into its slice.
async fn publish(client: &Client, publication: &Publication) -> Result<(), ApiError> {
    put(client, service(publication.cluster_ip), |old, new| {
        let same =
            old.spec.as_ref().is_some_and(|spec| spec.ports == new.spec.as_ref().and_then(|spec| spec.ports.clone()));
        if !same && let (Some(spec), Some(wanted)) = (&mut old.spec, new.spec) {
            spec.ports = wanted.ports;
        }
        !same
    })
    .await?;
    // Who is in the slice was among the API servers before: so these are looked at afterwards.
    let present = find(client, NAMESPACE, slice_name(publication.endpoint.ip())).await?;
    let living = find(client, API_SERVERS.0, API_SERVERS.1).await?;
    let living: BTreeSet<String> = living.iter().flat_map(addresses).collect();
    match (plan(publication, present.as_ref(), &living), present) {
        (None, _) => Ok(()),
        (Some(wanted), None) => client.create(&wanted).await.map(drop),
        (Some(wanted), Some(_)) => client.update(&wanted).await.map(drop),
    }
}

/// The slice as it should be, unless it is so: the servers whose API servers live, and this one. When nobody knows who
/// lives, all stay.
fn plan(
    publication: &Publication,
    present: Option<&EndpointSlice>,
    living: &BTreeSet<String>,
) -> Option<EndpointSlice> {
    let (mut wanted, own) = (slice(publication), endpoint(publication));
    let Some(present) = present else { return Some(wanted) };
    let others = present.endpoints.iter().flatten().filter(|other| other.addresses != own.addresses);
    let stays = |other: &&Endpoint| living.is_empty() || other.addresses.iter().any(|address| living.contains(address));
    let mut endpoints: Vec<Endpoint> = others.filter(stays).cloned().chain([own.clone()]).collect();
    endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    wanted.metadata = present.metadata.clone();
    wanted.endpoints = Some(endpoints);
    (wanted.endpoints != present.endpoints || wanted.ports != present.ports).then_some(wanted)
}

/// Takes the server out of its slice.
async fn withdraw(client: &Client, publication: &Publication) -> Result<(), ApiError> {
    loop {
        let found = find(client, NAMESPACE, slice_name(publication.endpoint.ip())).await?;
        let Some(mut slice) = found else { return Ok(()) };
        let own = endpoint(publication).addresses;
        let endpoints = slice.endpoints.get_or_insert_default();
        let before = endpoints.len();
        endpoints.retain(|endpoint| endpoint.addresses != own);
        if endpoints.len() == before {
            return Ok(());
        }
        match client.update(&slice).await {
            Err(error) if error.is_conflict() => {}
            done => return done.map(drop),
        }
    }
}

async fn find(client: &Client, namespace: &str, name: &str) -> Result<Option<EndpointSlice>, ApiError> {
    match client.get(namespace, name).await {
        Err(error) if error.is_not_found() => Ok(None),
        found => found.map(Some),
    }
}

fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = String> + use<> {
    let endpoints = slice.endpoints.clone().unwrap_or_default();
    endpoints.into_iter().flat_map(|endpoint| endpoint.addresses)
}

fn slice_name(address: IpAddr) -> &'static str {
    if address.is_ipv4() { NAME } else { NAME_IPV6 }
}

/// Creates the object; if it is there, `merge`s the wanted one into it and updates if that changed something. It is
/// looked for first: a service with an address of its choice is refused before anybody says that it is there.
async fn put<K: Kind>(client: &Client, wanted: K, merge: impl Fn(&mut K, K) -> bool) -> Result<(), ApiError> {
    let mut present: K = match client.get(wanted.namespace(), wanted.name()).await {
        Err(error) if error.is_not_found() => return client.create(&wanted).await.map(drop),
        present => present?,
    };
    if merge(&mut present, wanted) { client.update(&present).await.map(drop) } else { Ok(()) }
}

fn labels(more: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    let known = [("k8s-app", "kube-dns")];
    Some(known.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

fn service(cluster_ip: IpAddr) -> Service {
    let port = |(name, protocol): (&str, &str)| ServicePort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        port: PORT,
        ..ServicePort::default()
    };
    Service {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: labels(&[("kubernetes.io/cluster-service", "true"), ("kubernetes.io/name", "CoreDNS")]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some(cluster_ip.to_string()),
            ports: Some(PORTS.map(port).into()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn endpoint(publication: &Publication) -> Endpoint {
    Endpoint {
        addresses: vec![publication.endpoint.ip().to_string()],
        conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
        node_name: Some(publication.node.clone()),
        ..Endpoint::default()
    }
}

/// The slice of this server alone.
fn slice(publication: &Publication) -> EndpointSlice {
    let address = publication.endpoint;
    let port = |(name, protocol): (&str, &str)| EndpointPort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        port: Some(address.port().into()),
        app_protocol: None,
    };
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(slice_name(address.ip()).to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: labels(&[
                ("kubernetes.io/service-name", NAME),
                ("endpointslice.kubernetes.io/managed-by", "dns.coxswain.dev"),
            ]),
            ..ObjectMeta::default()
        },
        address_type: if address.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        endpoints: Some(vec![endpoint(publication)]),
        ports: Some(PORTS.map(port).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(ip: &str) -> Publication {
        let endpoint = SocketAddr::new(ip.parse().unwrap(), 10053);
        Publication { cluster_ip: "10.96.0.10".parse().unwrap(), endpoint, node: format!("node-{ip}") }
    }

    /// The addresses that a server writes that sees these.
    fn planned(own: &str, present: &[&str], living: &[&str]) -> String {
        let mut slice = slice(&publication(own));
        slice.endpoints = Some(present.iter().map(|ip| endpoint(&publication(ip))).collect());
        let living = living.iter().map(|ip| (*ip).to_owned()).collect();
        let planned = plan(&publication(own), Some(&slice), &living);
        planned.map_or("as it is".to_owned(), |slice| addresses(&slice).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn all_that_live_are_in_the_slice() {
        let two = ["192.0.2.1", "192.0.2.2"];
        assert_eq!(planned("192.0.2.1", &["192.0.2.1"], &two), "as it is");
        assert_eq!(planned("192.0.2.2", &["192.0.2.1"], &two), "192.0.2.1 192.0.2.2");
        assert_eq!(planned("192.0.2.1", &two, &two), "as it is");
        assert_eq!(planned("192.0.2.2", &two, &["192.0.2.2"]), "192.0.2.2");
        assert_eq!(planned("192.0.2.3", &["192.0.2.1"], &["192.0.2.3"]), "192.0.2.3");
        assert_eq!(planned("192.0.2.2", &["192.0.2.1"], &[]), "192.0.2.1 192.0.2.2");
        // A server that only the loopback reaches is not among the API servers.
        assert_eq!(planned("127.0.0.1", &["127.0.0.1"], &["192.0.2.1"]), "as it is");
        let alone = plan(&publication("fd00::1"), None, &BTreeSet::new()).unwrap();
        assert_eq!((alone.metadata.name.as_deref(), &*alone.address_type), (Some("kube-dns-ipv6"), "IPv6"));
    }

    #[test]
    fn other_slices_wake_nobody() {
        let keys =
            ["default/kubernetes", "kube-system/kube-dns", "kube-system/kube-dns-ipv6", "default/kube-dns", "a/b"];
        assert_eq!(keys.map(concerns), [true, true, true, false, false]);
    }
}
