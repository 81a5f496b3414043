//! A gRPC probe: one call of the health service.

use std::time::Duration;

use tonic::transport::Endpoint;

use super::{Failure, tcp};
use crate::proto::health::HealthCheckRequest;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_client::HealthClient;

pub(super) async fn check(host: &str, port: i32, service: &str, timeout: Duration) -> Result<(), Failure> {
    let port = u16::try_from(port).map_err(|_| Failure::Errored(format!("invalid port number: {port}")))?;
    let address = tcp::address(host, port);
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|error| Failure::Errored(error.to_string()))?;
    let endpoint = endpoint.connect_timeout(timeout).timeout(timeout);
    let channel = endpoint.connect().await.map_err(|error| {
        let text = format!("timeout: failed to connect service \"{address}\" within {}s: {error}", timeout.as_secs());
        Failure::Unhealthy(text)
    })?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest { service: service.to_owned() }).await;
    let status = answer.map_err(|status| match status.code() {
        tonic::Code::Unimplemented => {
            let text = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ";
            Failure::Unhealthy(format!("{text}{}", status.message()))
        }
        tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
            Failure::Unhealthy(format!("timeout: health rpc did not complete within {}s", timeout.as_secs()))
        }
        _ => Failure::Unhealthy(format!("error: health rpc probe failed: {status}")),
    })?;
    match status.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(Failure::Unhealthy(format!("service unhealthy (responded with \"{}\")", other.as_str_name()))),
    }
}
