//! The kubelet on this machine: real containers in a containerd of the test's own. Needs root, containerd, runc, the
//! CNI plugins and busybox-static.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod api;
mod authority;
mod lifecycle;
mod machine;
mod streams;
mod volumes;
