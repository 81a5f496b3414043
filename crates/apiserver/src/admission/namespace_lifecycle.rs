//! NamespaceLifecycle: nothing is made in a namespace that is not there or is going away.

use machinery::status::{Cause, In};
use machinery::{Status, meta};

use super::{Context, Operation, Plugin, Request};

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub const PLUGIN: Plugin = Plugin { name: "NamespaceLifecycle", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let is_namespace = request.group.is_empty() && request.resource == "namespaces";
    if is_namespace && request.operation == Operation::Delete && IMMORTAL.contains(&request.name) {
        let what = In { group: "", name: "namespaces" };
        return Err(Status::forbidden(what, request.name, "this namespace may not be deleted"));
    }
    let free = is_namespace
        || request.namespace.is_empty()
        || matches!(request.operation, Operation::Delete | Operation::Connect)
        || (request.group == "authorization.k8s.io" && request.resource == "localsubjectaccessreviews");
    if free {
        return Ok(());
    }
    let Some(namespace) = context.objects.get("", "namespaces", "", request.namespace) else {
        return Err(Status::not_found(In { group: "", name: "namespaces" }, request.namespace));
    };
    let terminating = meta::is_deleting(&namespace) || namespace.str_at(&["status", "phase"]) == Some("Terminating");
    if request.operation == Operation::Create && terminating {
        return Err(terminating_status(request));
    }
    Ok(())
}

fn terminating_status(request: &Request<'_>) -> Status {
    let name = request.namespace;
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let mut status = request.forbidden(why);
    let cause = Cause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    status.details.get_or_insert_default().causes.push(cause);
    status
}

#[cfg(test)]
mod tests {
    use machinery::{Value, value};

    use super::super::testing::{ask, request};
    use super::super::{Objects, Operation};
    use super::*;
    use crate::User;

    #[test]
    fn namespaces_must_be_there() {
        let user = User::anonymous();
        let objects = |phase: &str| {
            Objects::default().with("", "namespaces", value!({"metadata": {"name": "ns"}, "status": {"phase": phase}}))
        };
        let make = |objects: &Objects| {
            let mut pod = value!({"metadata": {"name": "p"}});
            ask(&PLUGIN, &mut request(Operation::Create, ("", "pods"), &mut pod, None, &user), objects)
        };
        let delete = |name: &str| {
            let (mut object, old) = (Value::Null, value!({"metadata": {"name": name}}));
            let mut request = request(Operation::Delete, ("", "namespaces"), &mut object, Some(&old), &user);
            ask(&PLUGIN, &mut request, &Objects::default())
        };
        let shown = [
            make(&objects("Active")),
            make(&objects("Terminating")),
            make(&Objects::default()),
            delete("default"),
            delete("kube-node-lease"),
        ];
        expect_test::expect![[r#"
            {"metadata":{"name":"p"}}
            403 pods "p" is forbidden: unable to create new content in namespace ns because it is being terminated
            404 namespaces "ns" not found
            403 namespaces "default" is forbidden: this namespace may not be deleted
            null"#]]
        .assert_eq(&shown.join("\n"));
    }
}
