//! PodTopologyLabels: a bound pod carries its node's zone and region (KEP-4742).

use machinery::{Status, meta};

use super::{Context, Operation, Plugin, Request};

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub const PLUGIN: Plugin = Plugin { name: "PodTopologyLabels", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if request.operation != Operation::Create {
        return Ok(());
    }
    let node = if request.is_part("", "pods", "binding") {
        request.object.str_at(&["target", "name"])
    } else if request.is("", "pods") {
        request.object.str_at(&["spec", "nodeName"])
    } else {
        None
    };
    let Some(node) = node.and_then(|name| context.objects.get("", "nodes", "", name)) else { return Ok(()) };
    for label in LABELS {
        if let Some(value) = meta::label(&node, label) {
            meta::set_label(request.object, label, value);
        }
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
    fn a_binding_carries_the_zone() {
        let node = value!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z", "other": "x"}}});
        let objects = Objects::default().with("", "nodes", node);
        let (user, mut binding) = (User::anonymous(), value!({"target": {"name": "n"}}));
        let mut request = request(Operation::Create, ("", "pods/binding"), &mut binding, None, &user);
        let expected = r#"{"target":{"name":"n"},"metadata":{"labels":{"topology.kubernetes.io/zone":"z"}}}"#;
        assert_eq!(ask(&PLUGIN, &mut request, &objects), expected);
    }
}
