//! The proxy's rules as text, and in a real kernel.

mod kernel;
mod objects;
mod tables;
