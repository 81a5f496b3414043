//! `/statusz` and `/flagz`: the server in a few lines, for people (KEP-4827, KEP-4828).

use std::fmt::Write as _;

use crate::paths;
use crate::server::Server;

const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility \
                       guarantees and is for debugging purposes only.";

/// Since when the server runs, and which version it is.
#[must_use]
pub fn statusz(server: &Server) -> String {
    let version = paths::version();
    let text = |name: &str| version.str_at(&[name]).unwrap_or_default().to_owned();
    let up = server.clock.now().duration_since(server.started).as_secs();
    let (hours, minutes, seconds) = (up / 3600, up / 60 % 60, up % 60);
    let started = server.started.strftime("%a %b %e %H:%M:%S UTC %Y");
    let (binary, emulation) = (text("gitVersion"), format!("{}.{}", text("emulationMajor"), text("emulationMinor")));
    format!(
        "\nkube-apiserver statusz\n{WARNING}\n\nStarted: {started}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\n\
         Binary version: {}\nEmulation version: {emulation}\nPaths: /livez /readyz /healthz /metrics /statusz /flagz\n",
        binary.trim_start_matches('v')
    )
}

/// The settings, by the names of their flags.
#[must_use]
pub fn flagz(server: &Server) -> String {
    let options = &server.options;
    let ranges: Vec<String> = options.service_ranges.iter().map(ToString::to_string).collect();
    let flags = [
        ("compaction-interval", format!("{:?}", options.compaction_interval)),
        ("event-ttl", format!("{:?}", options.event_ttl)),
        ("max-mutating-requests-inflight", options.max_mutating_requests_in_flight.to_string()),
        ("max-requests-inflight", options.max_requests_in_flight.to_string()),
        ("min-request-timeout", options.min_request_timeout.as_secs().to_string()),
        ("request-timeout", format!("{:?}", options.request_timeout)),
        ("service-cluster-ip-range", ranges.join(",")),
    ];
    let mut text = format!("\nkube-apiserver flags\n{WARNING}\n\n");
    for (name, value) in flags {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}
