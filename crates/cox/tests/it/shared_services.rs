//! Two API servers in front of one etcd: no address and no node port is given twice, both servers are announced, and one
//! that ends is not announced any longer.

use std::collections::BTreeSet;

use base::Clock;
use client::{Client, ListOptions};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Endpoints, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::IPAddress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::members::Members;
use crate::server::Server;

const NAMESPACE: &str = "default";
/// So many services are made through each server.
const SERVICES: usize = 100;

#[tokio::test]
async fn services_of_two_servers() {
    let (clock, members, folder) = (Clock::system(), Members::start(1), tempfile::tempdir().unwrap());
    // Few addresses, so that both want the same ones.
    let flags = |address: &str| {
        let etcd_servers = members.endpoints().join(",");
        let own = ["--secure-port", "0", "--etcd-servers", &etcd_servers, "--advertise-address", address];
        own.iter().chain(&["--service-cluster-ip-range", "10.96.0.0/24"]).map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut first = Server::start(folder.path(), "first", &flags("192.0.2.1"));
    let ours = first.client(&clock).await;
    first.share_keys(folder.path(), "second");
    let mut second = Server::start(folder.path(), "second", &flags("192.0.2.2"));
    let theirs = second.client(&clock).await;
    assert_eq!(announced(&ours).await, ["192.0.2.1", "192.0.2.2"]);

    let made = [(&ours, "a"), (&theirs, "b")].map(|(server, prefix)| {
        join_all(
            (0..SERVICES).map(move |i| async move { server.create(&service(format!("{prefix}{i}"))).await.unwrap() }),
        )
    });
    let made: Vec<Service> = join_all(made).await.into_iter().flatten().collect();
    let specs = || made.iter().filter_map(|service| service.spec.as_ref());
    let addresses: BTreeSet<_> = specs().filter_map(|spec| spec.cluster_ip.clone()).collect();
    let ports: BTreeSet<_> =
        specs().flat_map(|spec| spec.ports.iter().flatten()).filter_map(|port| port.node_port).collect();
    assert_eq!((addresses.len(), ports.len()), (2 * SERVICES, 2 * SERVICES));
    let objects = theirs.list::<IPAddress>("", &ListOptions::default()).await.unwrap();
    let objects: BTreeSet<_> = objects.iter().filter_map(|object| object.metadata.name.clone()).collect();
    assert!(addresses.is_subset(&objects));

    let (bitmap, _) = members.open().get("/registry/ranges/servicenodeports", None).await.unwrap();
    assert!(bitmap.unwrap().value.starts_with(b"k8s\0"), "it is kept as stock servers keep it");
    second.stop(&clock).await;
    assert_eq!(announced(&ours).await, ["192.0.2.1"]);
}

async fn announced(server: &Client) -> Vec<String> {
    let endpoints: Endpoints = server.get(NAMESPACE, "kubernetes").await.unwrap();
    let subsets = endpoints.subsets.into_iter().flatten();
    subsets.flat_map(|subset| subset.addresses.unwrap_or_default()).map(|address| address.ip).collect()
}

fn service(name: String) -> Service {
    let port = ServicePort { port: 80, ..ServicePort::default() };
    Service {
        metadata: ObjectMeta { name: Some(name), namespace: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() },
        spec: Some(ServiceSpec {
            type_: Some("NodePort".to_owned()),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
