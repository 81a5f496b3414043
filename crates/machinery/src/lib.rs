//! What every object shares: the value tree, the field table, codecs, patches, selectors, quantities, names, Status
//! errors. Knows shapes, not kinds.

pub mod apply;
mod decimal;
pub mod field;
pub mod fields_selector;
pub mod json;
pub mod labels;
pub mod meta;
pub mod names;
pub mod patch;
pub mod proto;
pub mod quantity;
pub mod release;
pub mod schema;
mod serde_value;
pub mod status;
mod value;
pub mod yaml;

pub use decimal::decimal;
pub use quantity::Quantity;
pub use serde_value::{Error as ConvertError, from_value, to_value};
pub use status::Status;
pub use value::{Object, Text, Value};
