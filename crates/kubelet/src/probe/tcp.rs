//! A TCP probe: a connection, nothing said.

use std::time::Duration;

use base::Clock;
use tokio::net::TcpStream;

use super::Failure;

pub(super) async fn connect(host: &str, port: u16, timeout: Duration, clock: &Clock) -> Result<(), Failure> {
    dial(host, port, timeout, clock).await.map(drop).map_err(Failure::Unhealthy)
}

/// Connects; the error is as Go tells it.
pub(super) async fn dial(host: &str, port: u16, timeout: Duration, clock: &Clock) -> Result<TcpStream, String> {
    let address = address(host, port);
    match clock.timeout(timeout, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {address}: connect: {}", go_error(&error))),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn go_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        std::io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        _ => error.to_string(),
    }
}
