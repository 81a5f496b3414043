//! The API's own description: OpenAPI v3, a document a group and version (KEP-2896), and v2, all in one.
//!
//! Shapes come from the field table, paths from the kinds' declarations, and what a person reads from k8s-openapi's
//! schemas. Nothing of it is kept: a document is made when it is asked for, which clients do rarely because they keep it
//! under its hash.

mod descriptions;
mod paths;
mod schemas;
mod v2;
pub mod v2_protobuf;
mod v3;

pub use descriptions::{Description, all as descriptions};
pub use v2::{document as v2_document, hash as v2_hash};
pub use v3::{document as v3_document, hash as v3_hash, index as v3_index};

/// Which form of the specification is written: they name things differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    V2,
    V3,
}

impl Form {
    /// Where a schema is found within the document.
    fn reference(self, schema: &str) -> machinery::Value {
        let place = match self {
            Self::V2 => "definitions",
            Self::V3 => "components/schemas",
        };
        format!("#/{place}/{schema}").into()
    }
}
