//! Node leases renewed as kubelets do it: the only steady traffic of an idle cluster.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::process::Cox;

/// So many kubelets: with the usual 10 s between renewals, a cluster of 2,000 nodes.
const PER_SECOND: u32 = 200;
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// What renewals cost: the server's share of a core while leases are renewed at a steady pace for `seconds`.
///
/// # Errors
/// When the server refuses.
pub async fn share(cox: &Cox, cluster: &Cluster, seconds: u32) -> Result<f64> {
    let connection = cluster.connect().await?;
    let mut versions = Vec::new();
    for number in 0..PER_SECOND {
        versions.push(version(&connection.create(LEASES, &lease(number, 0, "")).await?)?);
    }
    let (begun, before) = (Instant::now(), cox.cpu()?);
    for count in 0..PER_SECOND * seconds {
        tokio::time::sleep_until((begun + Duration::from_secs(1) * count / PER_SECOND).into()).await;
        let number = count % PER_SECOND;
        let known = &mut versions[number as usize];
        let body = lease(number, count / PER_SECOND + 1, known);
        let body = ("application/json", Bytes::from(body.to_string()));
        *known = version(&connection.bytes(Method::PUT, &format!("{LEASES}/node-{number}"), Some(body)).await?)?;
    }
    Ok(cox.cpu()?.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64())
}

/// How often a second leases are renewed.
pub fn per_second() -> u32 {
    PER_SECOND
}

/// The version that the next renewal must name, as a kubelet keeps it.
fn version(lease: &Bytes) -> Result<String> {
    let lease: Value = serde_json::from_slice(lease).context("an answer that is not JSON")?;
    Ok(lease["metadata"]["resourceVersion"].as_str().context("a lease without resourceVersion")?.to_owned())
}

fn lease(number: u32, second: u32, version: &str) -> Value {
    let renewed = format!("2026-01-01T00:{:02}:{:02}.000000Z", second / 60, second % 60);
    json!({
        "metadata": {"name": format!("node-{number}"), "namespace": "kube-node-lease", "resourceVersion": version},
        "spec": {"holderIdentity": format!("node-{number}"), "leaseDurationSeconds": 40, "renewTime": renewed},
    })
}
