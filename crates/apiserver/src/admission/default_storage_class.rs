//! DefaultStorageClass: a claim that names no class gets the default one.

use std::cmp::Reverse;
use std::sync::Arc;

use machinery::{Status, Value, meta};

use super::{Context, Operation, Plugin, Request};

const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// How claims named their class before they had a field for it.
pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub const PLUGIN: Plugin = Plugin { name: "DefaultStorageClass", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is("", "persistentvolumeclaims") {
        return Ok(());
    }
    let named = request.object.str_at(&["spec", "storageClassName"]).is_some()
        || meta::annotation(request.object, CLASS_ANNOTATION).is_some();
    let default = if named {
        None
    } else {
        default_class(context.objects.list("storage.k8s.io", "storageclasses", ""), &DEFAULT)
    };
    if let Some(class) = default {
        request.object.set_at(&["spec", "storageClassName"], meta::name(&class));
    }
    Ok(())
}

/// The class that one of `annotations` marks as the default: of several the newest, of equally new the first by name.
pub(super) fn default_class(classes: Vec<Arc<Value>>, annotations: &[&str]) -> Option<Arc<Value>> {
    let marked = |class: &Arc<Value>| annotations.iter().any(|name| meta::annotation(class, name) == Some("true"));
    let age = |class: &Arc<Value>| (Reverse(meta::creation_timestamp(class)), meta::name(class).to_owned());
    classes.into_iter().filter(marked).min_by_key(age)
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    #[test]
    fn the_newest_default_counts() {
        let class = |name: &str, created: &str| {
            value!({"metadata": {
                "name": name, "creationTimestamp": created, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}
            }})
        };
        let objects = Objects::default()
            .with("storage.k8s.io", "storageclasses", class("a", "2026-01-01T00:00:00Z"))
            .with("storage.k8s.io", "storageclasses", class("c", "2026-01-02T00:00:00Z"))
            .with("storage.k8s.io", "storageclasses", class("b", "2026-01-02T00:00:00Z"));
        let user = User::anonymous();
        let make = |mut claim: Value| {
            let mut request = request(Operation::Create, ("", "persistentvolumeclaims"), &mut claim, None, &user);
            ask(&PLUGIN, &mut request, &objects)
        };
        assert_eq!(make(value!({"spec": {}})), r#"{"spec":{"storageClassName":"b"}}"#);
        assert_eq!(make(value!({"spec": {"storageClassName": ""}})), r#"{"spec":{"storageClassName":""}}"#);
    }
}
