//! Images: names, pull policies, credentials, archives.

pub mod archive;
mod credentials;
pub mod name;
pub(crate) mod puller;
