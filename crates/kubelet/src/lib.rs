//! The node agent: pod planning, CRI, probes, volumes, images, stats.
//!
//! A pod's [`worker`] looks at what the runtime has ([`pod::observed`]), plans one step ([`pod::plan()`], pure), does it
//! and writes the status ([`pod::status()`], pure). What wakes it: the API's informer, the runtime's event stream, a
//! probe's verdict, a timer of the plan.

pub mod cgroups;
pub mod config;
pub mod containerd;
pub mod directories;
mod error;
pub mod image;
mod logs;
mod node;
mod objects;
mod options;
pub mod pause;
pub mod pod;
mod pods;
mod probe;
pub mod proto;
pub mod quantity;
mod registration;
mod run;
pub mod runtime;
mod server;
mod spdy;
mod tokens;
pub mod volume;
mod worker;

pub use client::serving::Certificate;
pub use error::Error;
pub use options::{KubeletOptions, PORT, RuntimeChoice, VERSION};
pub use run::run;
