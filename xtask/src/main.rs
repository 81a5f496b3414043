//! `cargo xtask`: everything a developer runs, one file a command.
fn main() {}
