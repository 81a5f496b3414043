//! Resource amounts as whole numbers.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource name.
pub type Resources = BTreeMap<String, Quantity>;

/// The amount of a resource in thousandths (milli-CPUs); `None` when absent or no quantity.
#[must_use]
pub fn milli(resources: Option<&Resources>, name: &str) -> Option<i64> {
    parse(resources, name).map(|quantity| quantity.milli_value())
}

/// The amount of a resource in whole units (bytes), rounded up; `None` when absent or no quantity.
#[must_use]
pub fn value(resources: Option<&Resources>, name: &str) -> Option<i64> {
    parse(resources, name).map(|quantity| quantity.value())
}

fn parse(resources: Option<&Resources>, name: &str) -> Option<machinery::Quantity> {
    machinery::Quantity::parse(&resources?.get(name)?.0).ok()
}
