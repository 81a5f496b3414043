//! The three ways to change an object by saying only what changes.

mod go_text;
pub mod json;
pub mod merge;
pub mod strategic;

pub use go_text::go_text;
