//! A request's way in: http, authentication, authorization, admission, verbs, cache, watch, discovery, OpenAPI.

pub mod admission;
pub mod authentication;
pub mod authorization;
pub mod bootstrap;
pub mod cache;
pub mod call;
pub mod certificates;
mod codec;
mod compaction;
mod descriptions;
mod flow;
mod health;
pub mod http;
mod identity;
mod metrics;
mod negotiate;
mod objects;
mod options;
mod paths;
pub mod pipeline;
pub mod query;
pub mod reply;
pub mod request;
mod respond;
pub mod server;
mod service;
mod storage;
mod subresources;
mod table;
mod verbs;
mod write;

pub use identity::User;
pub use request::RequestInfo;
pub use server::{Options, Server};
pub use service::ApiServer;
