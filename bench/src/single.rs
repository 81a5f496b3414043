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

/// Times requests in a namespace, and removes what it has made. The pod that is read is as small as those that are made,
/// however large the namespace's own are.
///
/// # Errors
/// When the server refuses.
pub async fn time(connection: &Connection, namespace: &str) -> Result<Single> {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let (mut gets, mut creates) = (Vec::new(), Vec::new());
    connection.create(&pods, &objects::small_pod("single")).await?;
    for number in 0..SAMPLES {
        let begun = Instant::now();
        connection.get(&format!("{pods}/single")).await?;
        gets.push(begun.elapsed());
        let pod = objects::small_pod(&format!("single-{number}"));
        let begun = Instant::now();
        connection.create(&pods, &pod).await?;
        creates.push(begun.elapsed());
    }
    let made = (0..SAMPLES).map(|number| format!("single-{number}")).chain(["single".to_owned()]);
    for name in made {
        connection.bytes(Method::DELETE, &format!("{pods}/{name}?gracePeriodSeconds=0"), None).await?;
    }
    Ok(Single { get: median(&mut gets), create: median(&mut creates) })
}
