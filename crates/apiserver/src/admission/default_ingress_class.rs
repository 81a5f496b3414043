//! DefaultIngressClass: an ingress that names no class gets the default one (KEP-1453).

use machinery::{Status, meta};

use super::default_storage_class::default_class;
use super::{Context, Operation, Plugin, Request};

const GROUP: &str = "networking.k8s.io";
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// How ingresses named their class before they had a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub const PLUGIN: Plugin = Plugin { name: "DefaultIngressClass", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is(GROUP, "ingresses") {
        return Ok(());
    }
    let named = request.object.str_at(&["spec", "ingressClassName"]).is_some()
        || meta::annotation(request.object, CLASS_ANNOTATION).is_some();
    let default =
        if named { None } else { default_class(context.objects.list(GROUP, "ingressclasses", ""), &[DEFAULT]) };
    if let Some(class) = default {
        request.object.set_at(&["spec", "ingressClassName"], meta::name(&class));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use machinery::{Value, value};

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    #[test]
    fn an_ingress_gets_the_default_class() {
        let class = value!({"metadata": {"name": "ic", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}});
        let objects = Objects::default().with(GROUP, "ingressclasses", class);
        let user = User::anonymous();
        let make = |mut ingress: Value| {
            ask(&PLUGIN, &mut request(Operation::Create, (GROUP, "ingresses"), &mut ingress, None, &user), &objects)
        };
        assert_eq!(make(value!({"spec": {}})), r#"{"spec":{"ingressClassName":"ic"}}"#);
        let old = value!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "old"}}});
        assert_eq!(make(old), r#"{"metadata":{"annotations":{"kubernetes.io/ingress.class":"old"}}}"#);
    }
}
