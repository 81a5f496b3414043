//! The kubelet on this machine: real containers in a containerd of the test's own. Needs root, containerd, runc, the
//! CNI plugins and busybox-static.

mod api;
mod authority;
mod lifecycle;
mod machine;
mod streams;
mod volumes;
