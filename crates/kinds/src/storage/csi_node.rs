//! CSINode: which storage drivers run on a node.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Kind, MetadataChecks, Writes};
use crate::strategy::immutable_part;
use crate::table::{AGE, Describe, NAME, age, integer};
use crate::validate::{csi_driver_name, non_negative_at, text};

const DRIVER: &str = "io.k8s.api.storage.v1.CSINodeDriver";
/// The longest name that a driver may give a node (longer ones than the CSI specification's 128: some clouds need it).
const MAX_NODE_ID_BYTES: usize = 256;

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    kind: "CSINode",
    plural: "csinodes",
    namespaced: false,
    storage: "csinodes",
    schema: "io.k8s.api.storage.v1.CSINode",
    columns: &[
        NAME,
        integer("Drivers", Describe::Text("Drivers indicates the number of CSI drivers registered on the node")),
        AGE,
    ],
    row: |node, now| {
        let count = i64::try_from(node.items_at(&["spec", "drivers"]).len()).unwrap_or(i64::MAX);
        vec![meta::name(node).into(), count.into(), age(node, now)]
    },
    writes: Writes { create_on_update: false, unconditional: false },
    metadata: MetadataChecks::NEW,
    validate,
    validate_update,
    ..BASE
};

fn validate(node: &Value) -> Errors {
    let drivers = node.items_at(&["spec", "drivers"]);
    let path = Path::new("spec.drivers");
    let mut errors = Errors::new();
    for (i, driver) in drivers.iter().enumerate() {
        let path = path.index(i);
        let name = driver.str_at(&["name"]).unwrap_or_default();
        errors.extend(csi_driver_name(name, &path.child("name")));
        errors.extend(node_id(driver.str_at(&["nodeID"]).unwrap_or_default(), &path.child("nodeID")));
        let resources = driver.get("allocatable").unwrap_or(&Value::Null);
        errors.extend(non_negative_at(resources, "count", &path.child("allocatable")));
        if drivers[..i].iter().any(|other| other.str_at(&["name"]).unwrap_or_default() == name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        errors.extend(topology_keys(driver, &path));
    }
    errors
}

fn node_id(id: &str, path: &Path) -> Option<Error> {
    if id.is_empty() {
        return Some(Error::required(path, ""));
    }
    let detail = format!("must be {MAX_NODE_ID_BYTES} characters or less");
    (id.len() > MAX_NODE_ID_BYTES).then(|| Error::invalid(path, id, detail))
}

fn topology_keys(driver: &Value, path: &Path) -> Errors {
    let keys: Vec<&str> = driver.items_at(&["topologyKeys"]).iter().filter_map(Value::as_str).collect();
    let mut errors = Errors::new();
    for (i, key) in keys.iter().enumerate() {
        if key.is_empty() {
            errors.push(Error::required(path, ""));
        }
        if keys[..i].contains(key) {
            errors.push(Error::duplicate(path, *key));
        }
        errors.extend(text(names::is_qualified_name, key, path));
    }
    errors
}

/// A driver's entry comes and goes as a whole; only how many volumes fit may change (KEP-4876).
fn validate_update(new: &Value, old: &Value) -> Errors {
    // Upstream looks twice: causes stand as often as they were found.
    let mut errors = [validate(new), validate(new)].concat();
    let path = Path::new("spec.drivers");
    let entry = |driver: &Value| {
        let mut driver = driver.clone();
        driver.remove_at(&["allocatable"]);
        driver
    };
    for before in old.items_at(&["spec", "drivers"]) {
        let name = before.get("name");
        let same = new.items_at(&["spec", "drivers"]).iter().filter(|driver| driver.get("name") == name);
        errors
            .extend(same.filter_map(|after| immutable_part(DRIVER, Some(&entry(after)), Some(&entry(before)), &path)));
    }
    errors
}
