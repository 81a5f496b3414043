//! Pods: what they ask for, what is seen of them, what to do next, what to tell the API.

pub mod container_config;
pub mod downward;
pub mod environment;
pub mod expand;
pub mod hosts;
pub mod labels;
pub mod memory;
pub mod observed;
pub mod plan;
pub mod resolver;
pub mod resources;
pub mod sandbox_config;
pub mod security;
pub mod spec;
pub mod status;
