//! A request's way in: http, authentication, authorization, admission, verbs, cache, watch, discovery, OpenAPI.

pub mod authorization;
pub mod bootstrap;
mod identity;
pub mod query;
pub mod request;

pub use identity::User;
pub use request::RequestInfo;
