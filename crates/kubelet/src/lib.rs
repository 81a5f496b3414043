//! The node agent: pod planning, CRI, probes, volumes, images, stats.

pub mod proto;
