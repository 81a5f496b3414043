//! Images: names, pull policies, archives.

pub mod archive;
