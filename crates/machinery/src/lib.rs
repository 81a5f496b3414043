//! What every object shares: the value tree, the field table, codecs, patches, selectors, quantities, names, Status
//! errors. Knows shapes, not kinds.

pub mod field;
pub mod json;
mod serde_value;
mod value;
pub mod yaml;

pub use serde_value::{Error as ConvertError, from_value, to_value};
pub use value::{Object, Text, Value};
