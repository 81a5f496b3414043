//! PersistentVolumeClaimResize: only bound claims whose class says so grow (KEP-284).

use machinery::{Quantity, Status, Value, meta};

use super::default_storage_class::CLASS_ANNOTATION;
use super::{Context, Operation, Plugin, Request};

pub const PLUGIN: Plugin = Plugin { name: "PersistentVolumeClaimResize", admit: None, validate: Some(validate) };

fn validate(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let (Operation::Update, Some(old)) = (request.operation, request.old) else { return Ok(()) };
    if !request.is("", "persistentvolumeclaims") || size(request.object) <= size(old) {
        return Ok(());
    }
    if old.str_at(&["status", "phase"]) != Some("Bound") {
        return Err(request.forbidden("Only bound persistent volume claims can be expanded"));
    }
    if may_grow(request.object, context) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(request.forbidden(why))
}

fn size(claim: &Value) -> Option<Quantity> {
    claim.str_at(&["spec", "resources", "requests", "storage"])?.parse().ok()
}

fn may_grow(claim: &Value, context: &Context<'_>) -> bool {
    let name = meta::annotation(claim, CLASS_ANNOTATION).or_else(|| claim.str_at(&["spec", "storageClassName"]));
    let class = name.and_then(|name| context.objects.get("storage.k8s.io", "storageclasses", "", name));
    class.is_some_and(|class| class.bool_at(&["allowVolumeExpansion"]) == Some(true))
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    #[test]
    fn claims_that_may_grow() {
        let class = |name: &str, grows: bool| value!({"metadata": {"name": name}, "allowVolumeExpansion": grows});
        let objects = Objects::default().with("storage.k8s.io", "storageclasses", class("grows", true)).with(
            "storage.k8s.io",
            "storageclasses",
            class("stays", false),
        );
        let claim = |class: &str, size: &str, phase: &str| {
            value!({
                "metadata": {"name": "c"},
                "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}},
                "status": {"phase": phase}
            })
        };
        let user = User::anonymous();
        let grow = |class: &str, to: &str, phase: &str| {
            let (mut new, old) = (claim(class, to, phase), claim(class, "1Gi", phase));
            let mut request = request(Operation::Update, ("", "persistentvolumeclaims"), &mut new, Some(&old), &user);
            let answer = ask(&PLUGIN, &mut request, &objects);
            if answer.starts_with('{') { "fine".to_owned() } else { answer }
        };
        let shown = [
            grow("grows", "2Gi", "Bound"),
            grow("grows", "2Gi", "Pending"),
            grow("stays", "2Gi", "Bound"),
            grow("nope", "2Gi", "Bound"),
            grow("stays", "1024Mi", "Pending"),
        ];
        expect_test::expect![[r#"
            fine
            403 persistentvolumeclaims "c" is forbidden: Only bound persistent volume claims can be expanded
            403 persistentvolumeclaims "c" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize
            403 persistentvolumeclaims "c" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize
            fine"#]].assert_eq(&shown.join("\n"));
    }
}
