//! What the plan makes of nodes and pods, and the result in a real kernel with real plugins.

mod kernel;
mod plan;
