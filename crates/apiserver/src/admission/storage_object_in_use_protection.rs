//! StorageObjectInUseProtection: claims and volumes in use are not deleted under their users (KEP-499).

use machinery::{Status, meta};

use super::{Context, Operation, Plugin, Request};

/// Resources and the finalizer that each begins with.
const PROTECTED: &[(&str, &str, &str)] = &[
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub const PLUGIN: Plugin = Plugin { name: "StorageObjectInUseProtection", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, _: &Context<'_>) -> Result<(), Status> {
    if request.operation != Operation::Create {
        return Ok(());
    }
    let protection = PROTECTED.iter().find(|(group, resource, _)| request.is(group, resource));
    let Some((_, _, finalizer)) = protection else { return Ok(()) };
    let mut finalizers: Vec<String> = meta::finalizers(request.object).map(str::to_owned).collect();
    if !finalizers.iter().any(|other| other == finalizer) {
        finalizers.push((*finalizer).to_owned());
        meta::set_finalizers(request.object, finalizers);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    #[test]
    fn a_claim_gets_its_finalizer_once() {
        let (user, expected) = (User::anonymous(), r#"{"metadata":{"finalizers":["kubernetes.io/pvc-protection"]}}"#);
        for mut claim in [value!({}), value!({"metadata": {"finalizers": ["kubernetes.io/pvc-protection"]}})] {
            let mut request = request(Operation::Create, ("", "persistentvolumeclaims"), &mut claim, None, &user);
            assert_eq!(ask(&PLUGIN, &mut request, &Objects::default()), expected);
        }
    }
}
