//! Single requests, one after the other: what one GET and one create take while nothing else goes on. Asked with few and
//! with many objects, it shows whether the price grows with the cluster.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::Method;

use crate::cluster::Connection;
use crate::figure::median;
use crate::objects;

/// How many of each are timed.
const SAMPLES: usize = 300;

/// The medians.
pub struct Single {
    /// Of reading a pod.
    pub get: Duration,
    /// Of creating one.
    pub create: Duration,
}

/// Times requests in a namespace in which `pod-000000` is, and removes what it has made.
///
/// # Errors
/// When the server refuses.
pub async fn time(connection: &Connection, namespace: &str) -> Result<Single> {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let (mut gets, mut creates) = (Vec::new(), Vec::new());
    for number in 0..SAMPLES {
        let begun = Instant::now();
        connection.get(&format!("{pods}/pod-000000")).await?;
        gets.push(begun.elapsed());
        let pod = objects::small_pod(&format!("single-{number}"));
        let begun = Instant::now();
        connection.create(&pods, &pod).await?;
        creates.push(begun.elapsed());
    }
    for number in 0..SAMPLES {
        connection.bytes(Method::DELETE, &format!("{pods}/single-{number}?gracePeriodSeconds=0"), None).await?;
    }
    Ok(Single { get: median(&mut gets), create: median(&mut creates) })
}
