//! One reader that lists all pods of a namespace as JSON, several times.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::Method;
use http_body_util::BodyExt as _;

use crate::cluster::Cluster;
use crate::process::Cox;

/// What lists took.
pub struct Lists {
    /// The size of one answer.
    pub bytes: u64,
    /// Each list, from request to last byte.
    pub walls: Vec<Duration>,
    /// The server's time on the CPUs for all of them.
    pub cpu: Duration,
}

/// Lists a namespace's pods `times` times.
///
/// # Errors
/// When the connection breaks.
pub async fn list(cox: &Cox, cluster: &Cluster, namespace: &str, times: usize) -> Result<Lists> {
    let connection = cluster.connect().await?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let (before, mut walls, mut bytes) = (cox.cpu()?, Vec::new(), 0);
    for _ in 0..times {
        let begun = Instant::now();
        let mut body = connection.send(Method::GET, &path, None).await?.into_body();
        bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        walls.push(begun.elapsed());
    }
    Ok(Lists { bytes, walls, cpu: cox.cpu()?.saturating_sub(before) })
}
