//! Makes the server known in the cluster under the name and address that pods expect.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use client::{ApiError, Client, Kind};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
const PORT: i32 = 53;

/// The ports by name and protocol.
const PORTS: [(&str, &str); 2] = [("dns", "UDP"), ("dns-tcp", "TCP")];

/// Makes the Service `kube-system/kube-dns` with this cluster IP, and its slice with this endpoint; what is there
/// already is left as it is or brought up to date.
///
/// # Errors
/// What the API server says, for instance that the cluster IP is taken.
pub async fn publish(client: &Client, cluster_ip: IpAddr, endpoint: SocketAddr) -> Result<(), ApiError> {
    put(client, service(cluster_ip), |old, new| {
        let same =
            old.spec.as_ref().is_some_and(|spec| spec.ports == new.spec.as_ref().and_then(|spec| spec.ports.clone()));
        if !same && let (Some(spec), Some(wanted)) = (&mut old.spec, new.spec) {
            spec.ports = wanted.ports;
        }
        !same
    })
    .await?;
    put(client, slice(endpoint), |old, new| {
        let same = old.endpoints == new.endpoints && old.ports == new.ports;
        (old.endpoints, old.ports) = (new.endpoints, new.ports);
        !same
    })
    .await
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

fn slice(endpoint: SocketAddr) -> EndpointSlice {
    let port = |(name, protocol): (&str, &str)| EndpointPort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        port: Some(endpoint.port().into()),
        app_protocol: None,
    };
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: labels(&[
                ("kubernetes.io/service-name", NAME),
                ("endpointslice.kubernetes.io/managed-by", "dns.coxswain.dev"),
            ]),
            ..ObjectMeta::default()
        },
        address_type: if endpoint.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        endpoints: Some(vec![Endpoint {
            addresses: vec![endpoint.ip().to_string()],
            conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
            ..Endpoint::default()
        }]),
        ports: Some(PORTS.map(port).into()),
    }
}
