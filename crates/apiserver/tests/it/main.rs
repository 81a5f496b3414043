//! Scenarios over the whole server in one process: requests in, answers out.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail a test by panicking")]

mod crud;
mod deletion;
mod documents;
mod encodings;
#[path = "../../../../fuzz/targets/apiserver.rs"]
mod hostile;
#[path = "../../../../fuzz/targets/kinds.rs"]
mod hostile_objects;
#[path = "../../../../fuzz/targets/requests.rs"]
mod hostile_requests;
mod limits;
mod list;
mod metrics;
mod services;
#[path = "../../../../fuzz/targets/smoke.rs"]
mod smoke;
mod subresources;
mod watch;
mod world;

/// What the server promises to whoever sends it bytes.
#[test]
fn no_input_is_fatal() {
    smoke::run(hostile::ALL);
    smoke::run(hostile_objects::ALL);
    smoke::run(hostile_requests::ALL);
}
