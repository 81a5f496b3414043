//! VolumeAttachment: the wish that a volume is attached to a node.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, meta, names};

use crate::core::persistent_volume::inline_spec;
use crate::kind::{BASE, Generation, Kind, MetadataChecks, STATUS, Subresource, Writes};
use crate::strategy::immutable_part;
use crate::table::{AGE, Column, Describe, NAME, age, boolean, str, text};
use crate::validate::{csi_driver_name, text as check_text};

const SPEC: &str = "io.k8s.api.storage.v1.VolumeAttachmentSpec";
const SOURCE: &str = "io.k8s.api.storage.v1.VolumeAttachmentSource";
const STATUS_SCHEMA: &str = "io.k8s.api.storage.v1.VolumeAttachmentStatus";
const MAX_METADATA_BYTES: usize = 256 * 1024;
const MAX_MESSAGE_BYTES: usize = 1024;
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    kind: "VolumeAttachment",
    plural: "volumeattachments",
    namespaced: false,
    storage: "volumeattachments",
    schema: "io.k8s.api.storage.v1.VolumeAttachment",
    subresources: &[Subresource { validate: |new, _| status(new), ..STATUS }],
    columns: &[
        NAME,
        Column { format: "name", ..text("Attacher", Describe::Field(SPEC, "attacher")) },
        text("PV", Describe::Field(SOURCE, "persistentVolumeName")),
        text("Node", Describe::Field(SPEC, "nodeName")),
        boolean("Attached", Describe::Field(STATUS_SCHEMA, "attached")),
        AGE,
    ],
    row,
    writes: Writes { create_on_update: false, unconditional: false },
    generation: Generation::None,
    metadata: MetadataChecks::NEW,
    validate: |attachment| {
        let mut errors = whole(attachment);
        errors.extend(names(attachment));
        errors
    },
    validate_update: |new, old| {
        // Upstream looks twice: causes stand as often as they were found.
        let mut errors = [whole(new), whole(new)].concat();
        errors.extend(immutable_part(SPEC, new.get("spec"), old.get("spec"), &Path::new("spec")));
        errors
    },
    ..BASE
};

fn row(attachment: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        meta::name(attachment).into(),
        str(attachment, &["spec", "attacher"]),
        str(attachment, &["spec", "source", "persistentVolumeName"]),
        str(attachment, &["spec", "nodeName"]),
        attachment.bool_at(&["status", "attached"]).unwrap_or_default().into(),
        age(attachment, now),
    ]
}

fn whole(attachment: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    if attachment.str_at(&["spec", "attacher"]).is_none_or(str::is_empty) {
        errors.push(Error::required(&path.child("attacher"), ""));
    }
    let source = attachment.at(&["spec", "source"]).unwrap_or(&Value::Null);
    errors.extend(self::source(source, &path.child("source")));
    let node = attachment.str_at(&["spec", "nodeName"]).unwrap_or_default();
    errors.extend(check_text(names::is_dns1123_subdomain, node, &path.child("nodeName")));
    errors.extend(status(attachment));
    errors
}

fn source(source: &Value, path: &Path) -> Errors {
    let inline = source.get("inlineVolumeSpec").filter(|spec| !spec.is_null());
    match (inline, source.str_at(&["persistentVolumeName"])) {
        (None, None) => vec![Error::required(path, ONE_SOURCE)],
        (Some(_), Some(_)) => vec![Error::forbidden(path, ONE_SOURCE)],
        (None, Some("")) => {
            let detail = "must specify non empty persistentVolumeName";
            vec![Error::required(&path.child("persistentVolumeName"), detail)]
        }
        (None, Some(_)) => Errors::new(),
        (Some(spec), None) => inline_spec(spec, &path.child("inlineVolumeSpec")),
    }
}

/// What v1 asks for beyond the versions before it.
fn names(attachment: &Value) -> Errors {
    let attacher = attachment.str_at(&["spec", "attacher"]).unwrap_or_default();
    let mut errors = csi_driver_name(attacher, &Path::new("spec.attacher"));
    if let Some(name) = attachment.str_at(&["spec", "source", "persistentVolumeName"]) {
        let path = Path::new("spec.source.persistentVolumeName");
        errors.extend(check_text(names::is_dns1123_subdomain, name, &path));
    }
    errors
}

fn status(attachment: &Value) -> Errors {
    let path = Path::new("status");
    let mut errors = Errors::new();
    let metadata = attachment.at(&["status", "attachmentMetadata"]).and_then(Value::as_object);
    let size: usize = metadata
        .into_iter()
        .flat_map(Object::iter)
        .map(|(name, value)| name.len() + value.as_str().unwrap_or_default().len())
        .sum();
    if size > MAX_METADATA_BYTES {
        errors.push(Error::too_long(&path.child("attachmentMetadata"), MAX_METADATA_BYTES));
    }
    for field in ["attachError", "detachError"] {
        let message = attachment.str_at(&["status", field, "message"]).unwrap_or_default();
        if message.len() > MAX_MESSAGE_BYTES {
            // The message names the other limit, as upstream's does.
            errors.push(Error::too_long(&path.child(field).child("message"), MAX_METADATA_BYTES));
        }
        if let Some(code) = attachment.int_at(&["status", field, "errorCode"]).filter(|code| *code < 0) {
            let detail = names::inclusive_range(0, i32::MAX.into());
            errors.push(Error::invalid(&path.child(field).child("errorCode"), code, detail));
        }
    }
    errors
}
