//! The proxy's rules as text, and in a real kernel.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod kernel;
mod objects;
mod tables;
