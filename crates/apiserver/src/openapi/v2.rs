//! OpenAPI v2: everything in one document, for older clients.

use std::sync::LazyLock;

use kinds::Kind;
use machinery::{Object, Value, json, value};
use sha2::{Digest, Sha512};

use super::{Form, descriptions, paths, schemas::Schemas, v3};

/// `/openapi/v2`.
#[must_use]
pub fn document() -> Value {
    let descriptions = descriptions::all();
    let mut schemas = Schemas::new(Form::V2, &descriptions);
    let mut all_paths = Object::new();
    for kind in kinds::all() {
        let kind: &Kind = kind;
        v3::add_kind(&mut schemas, kind);
        for (path, operations) in paths::of_kind(Form::V2, kind) {
            all_paths.insert(path, operations);
        }
    }
    all_paths.sort();
    value!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36"},
        "paths": all_paths,
        "definitions": (schemas.finish()),
    })
}

/// What the document hashes to: its ETag.
#[must_use]
pub fn hash() -> &'static str {
    static HASH: LazyLock<String> = LazyLock::new(|| hex::encode_upper(Sha512::digest(json::to_vec(&document()))));
    &HASH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_have_their_patch_keys() {
        let document = document();
        let object_meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
        let owners = document.at(&["definitions", object_meta, "properties", "ownerReferences"]).unwrap();
        assert_eq!(owners.str_at(&["x-kubernetes-patch-merge-key"]), Some("uid"));
        assert_eq!(owners.str_at(&["x-kubernetes-patch-strategy"]), Some("merge"));
    }
}
