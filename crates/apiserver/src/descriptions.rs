//! What a table says about its columns.

use kinds::Describe;

/// The description of a column.
#[must_use]
pub fn of(describe: &Describe) -> String {
    match describe {
        Describe::Text(text) => (*text).to_owned(),
        Describe::Field(..) => String::new(),
    }
}
