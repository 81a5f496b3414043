//! Services and slices from short texts.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proxy::{Family, Place, Services, Setting};
use serde_json::json;

/// Node `n1` with this address; pods in 10.244.0.0/16.
pub fn setting(node_ip: &str) -> Setting {
    let ip: IpAddr = node_ip.parse().unwrap();
    Setting {
        place: Place { node: "n1".into(), zone: None },
        families: vec![Family::V4],
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        masquerade_all: false,
        masquerade_mark: 0x4000,
        nodeport_addresses: vec![ip.into()],
    }
}

/// A service `default/NAME` of port 80 with this further spec.
pub fn service(name: &str, cluster_ip: &str, protocol: &str, more: serde_json::Value) -> Service {
    let mut spec = json!({
        "clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "type": "ClusterIP",
        "ports": [{"name": "p", "port": 80, "protocol": protocol, "targetPort": 8080}],
    });
    let mut object = json!({"metadata": {"name": name, "namespace": "default"}});
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "nodePort" => spec["ports"][0]["nodePort"] = value.clone(),
            "status" => object["status"] = value.clone(),
            _ => spec[key] = value.clone(),
        }
    }
    object["spec"] = spec;
    serde_json::from_value(object).unwrap()
}

/// The one slice of `default/NAME`; endpoints as `ADDRESS:PORT`, `ADDRESS:PORT@NODE`, with `!` not ready.
pub fn slice(name: &str, protocol: &str, endpoints: &str) -> EndpointSlice {
    let mut port = 8080;
    let endpoints: Vec<_> = endpoints
        .split_whitespace()
        .map(|text| {
            let (text, ready) = text.strip_suffix('!').map_or((text, true), |text| (text, false));
            let (address, node) = text.split_once('@').unwrap_or((text, "n2"));
            let (ip, at) = address.split_once(':').unwrap();
            port = at.parse::<u16>().unwrap();
            json!({"addresses": [ip], "nodeName": node, "conditions": {"ready": ready}})
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": format!("{name}-1"), "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "p", "port": port, "protocol": protocol}],
    }))
    .unwrap()
}

/// Puts a service into `services`.
pub fn put(services: &mut Services, service: Service) {
    let key = format!("default/{}", service.metadata.name.as_deref().unwrap());
    services.set_service(&key.into(), Some(Arc::new(service)));
}

/// Puts a slice into `services`.
pub fn put_slice(services: &mut Services, slice: EndpointSlice) {
    let key = format!("default/{}", slice.metadata.name.as_deref().unwrap());
    services.set_slice(&key.into(), None, Some(Arc::new(slice)));
}
