//! The node agent: pod planning, CRI, probes, volumes, images, stats.

pub mod containerd;
pub mod directories;
pub mod image;
pub mod pause;
pub mod pod;
pub mod proto;
pub mod quantity;
pub mod runtime;
