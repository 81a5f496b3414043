//! IPAddress: one address that a Service has; its name is the address (KEP-1880).

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Kind, NameRule};
use crate::strategy::immutable;
use crate::table::{Describe, NAME, age, text};
use crate::validate::address::strict_ip_messages;
use crate::validate::text as check_text;

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    kind: "IPAddress",
    plural: "ipaddresses",
    short_names: &["ip"],
    namespaced: false,
    storage: "ipaddresses",
    schema: "io.k8s.api.networking.v1.IPAddress",
    columns: &[NAME, text("ParentRef", Describe::Field("io.k8s.api.networking.v1.IPAddressSpec", "parentRef"))],
    row,
    name: NameRule::Text(strict_ip_messages),
    validate,
    validate_update: |new, old| {
        let field = ["spec", "parentRef"];
        immutable(new.at(&field), old.at(&field), &Path::new("spec.parentRef")).into_iter().collect()
    },
    ..BASE
};

/// A cell more than there are columns: upstream's rows have the age, too.
fn row(address: &Value, now: Timestamp) -> Vec<Value> {
    let parent = address.at(&["spec", "parentRef"]).filter(|parent| !parent.is_null()).map(|parent| {
        let part = |field: &str| parent.str_at(&[field]).unwrap_or_default();
        let resource = match part("group") {
            "" => part("resource").to_owned(),
            group => format!("{}.{group}", part("resource")),
        };
        let places = [resource.as_str(), part("namespace"), part("name")];
        places.iter().filter(|place| !place.is_empty()).copied().collect::<Vec<_>>().join("/")
    });
    vec![meta::name(address).into(), parent.unwrap_or_else(|| "<none>".to_owned()).into(), age(address, now)]
}

fn validate(address: &Value) -> Errors {
    let path = Path::new("spec.parentRef");
    let Some(parent) = address.at(&["spec", "parentRef"]).filter(|parent| !parent.is_null()) else {
        return vec![Error::required(&path, "")];
    };
    let part = |field: &str| parent.str_at(&[field]).unwrap_or_default();
    let mut errors = Errors::new();
    // The core group, which Services are in, has an empty name.
    if !part("group").is_empty() {
        errors.extend(check_text(names::is_dns1123_subdomain, part("group"), &path.child("group")));
    }
    for field in ["resource", "name"] {
        match part(field) {
            "" => errors.push(Error::required(&path.child(field), "")),
            name => errors.extend(check_text(names::is_path_segment_name, name, &path.child(field))),
        }
    }
    errors.extend(check_text(names::is_path_segment_name, part("namespace"), &path.child("namespace")));
    errors
}
