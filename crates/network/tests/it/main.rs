//! What the plan makes of nodes and pods, and the result in a real kernel with real plugins.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod kernel;
mod plan;
