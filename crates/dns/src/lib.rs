//! Cluster DNS: answers for services and pods, forwarding for the rest.
//!
//! Invariant: what decides ([`answer`] over a [`Zone`]) is pure; what acts ([`run`]) receives, forwards and sends.

mod answer;
mod cache;
mod forward;
mod message;
mod options;
mod publish;
mod run;
mod server;
mod upstream;
mod zone;

pub use answer::{Answer, Question, answer};
pub use options::{Options, Upstream};
pub use publish::Publication;
pub use run::{DnsError, run};
pub use upstream::nameservers;
pub use zone::Zone;
