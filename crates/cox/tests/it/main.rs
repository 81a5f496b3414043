//! The binary as a whole, without containers: `cox apiserver` as processes of the test.
#![expect(clippy::unwrap_used, reason = "all of this is a test")]

#[allow(dead_code, reason = "the store's own tests need more of it")]
#[path = "../../../store/tests/it/members.rs"]
mod members;
mod reflector;
mod server;
mod shared_etcd;
mod shared_services;
mod stock;
