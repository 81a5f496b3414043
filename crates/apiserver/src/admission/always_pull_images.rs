//! AlwaysPullImages: no pod runs an image that its own credentials do not fetch. Off by default.

use machinery::{Status, Value};

use super::{Context, Operation, Plugin, Request};

pub const PLUGIN: Plugin = Plugin { name: "AlwaysPullImages", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, _: &Context<'_>) -> Result<(), Status> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let is_pod = request.is("", "pods") || request.is_part("", "pods", "ephemeralcontainers");
    if !writes || !is_pod {
        return Ok(());
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let old = request.old.map_or(&[][..], |old| old.items_at(&["spec", list]));
        let same = |container: &Value| {
            old.iter().any(|o| o.get("name") == container.get("name") && o.get("image") == container.get("image"))
        };
        let containers = request.object.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if !same(container) {
                container.set_at(&["imagePullPolicy"], "Always");
            }
        }
    }
    for volume in request.object.at_mut(&["spec", "volumes"]).and_then(Value::as_array_mut).into_iter().flatten() {
        if request.operation == Operation::Create && volume.get("image").is_some_and(|image| !image.is_null()) {
            volume.set_at(&["image", "pullPolicy"], "Always");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::testing::{ask, request};
    use super::*;

    #[test]
    fn every_image_is_pulled() {
        let user = crate::User::default();
        let mut pod =
            value!({"spec": {"containers": [{"name": "a", "imagePullPolicy": "Never"}], "volumes": [{"image": {}}]}});
        let mut request = request(Operation::Create, ("", "pods"), &mut pod, None, &user);
        expect_test::expect![[r#"{"spec":{"containers":[{"name":"a","imagePullPolicy":"Always"}],"volumes":[{"image":{"pullPolicy":"Always"}}]}}"#]]
            .assert_eq(&ask(&PLUGIN, &mut request, &super::super::Objects::default()));
    }
}
