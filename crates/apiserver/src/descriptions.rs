//! What a table says about its columns.

use std::collections::HashMap;
use std::sync::LazyLock;

use kinds::Describe;

use crate::openapi;

/// What follows this in a field's description is a list of values, which columns leave out.
const ENUM_LIST: &str = "Possible enum values:";

/// The description of a column.
#[must_use]
pub fn of(describe: &Describe) -> String {
    match describe {
        Describe::Text(text) => (*text).to_owned(),
        Describe::Field(schema, field) => OF_FIELDS.get(&(*schema, *field)).cloned().unwrap_or_default(),
    }
}

/// The texts of all fields that columns show, taken once from the schemas.
static OF_FIELDS: LazyLock<HashMap<(&'static str, &'static str), String>> = LazyLock::new(|| {
    let all = openapi::descriptions();
    // Scales are shown, though no kind that is served by itself.
    let shown = kinds::all().iter().copied().chain([&kinds::autoscaling::scale::KIND]);
    let columns = shown.flat_map(|kind| kind.columns);
    let fields = columns.filter_map(|column| match column.describe {
        Describe::Field(schema, field) => Some((schema, field)),
        Describe::Text(_) => None,
    });
    fields
        .filter_map(|(schema, field)| {
            let text = all.get(schema)?.fields.get(field)?;
            Some(((schema, field), text.split(ENUM_LIST).next().unwrap_or_default().trim_end().to_owned()))
        })
        .collect()
});
