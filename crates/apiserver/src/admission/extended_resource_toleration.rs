//! ExtendedResourceToleration: pods that ask for a special resource tolerate the taint of nodes kept for it. Off by
//! default.

use std::collections::BTreeSet;

use machinery::{Object, Status, Value, value};

use super::{Context, Operation, Plugin, Request};

pub const PLUGIN: Plugin = Plugin { name: "ExtendedResourceToleration", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, _: &Context<'_>) -> Result<(), Status> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if !writes || !request.is("", "pods") {
        return Ok(());
    }
    let resources = extended_resources(request.object);
    let mut tolerations = request.object.items_at(&["spec", "tolerations"]).to_vec();
    let before = tolerations.len();
    for resource in resources {
        let toleration = value!({"key": resource, "operator": "Exists"});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    if tolerations.len() > before {
        request.object.set_at(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}

/// The resources of somebody else than Kubernetes that the containers ask for.
fn extended_resources(pod: &Value) -> BTreeSet<String> {
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| pod.items_at(&["spec", list]));
    let asked = containers.filter_map(|container| container.at(&["resources", "requests"])?.as_object());
    let names = asked.flat_map(Object::keys).map(ToString::to_string);
    names.filter(|name| kinds::validate::resources::is_extended(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, request};
    use super::*;

    #[test]
    fn special_resources_are_tolerated() {
        let user = crate::User::default();
        let mut pod =
            value!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "example.com/gpu": "1"}}}]}});
        let mut request = request(Operation::Create, ("", "pods"), &mut pod, None, &user);
        let shown = ask(&PLUGIN, &mut request, &super::super::Objects::default());
        assert!(shown.contains(r#""tolerations":[{"key":"example.com/gpu","operator":"Exists"}]"#), "{shown}");
    }
}
