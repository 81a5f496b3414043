//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable (KEP-166).

use machinery::{Status, Value, value};

use super::{Context, Operation, Plugin, Request};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub const PLUGIN: Plugin = Plugin { name: "DefaultTolerationSeconds", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, _: &Context<'_>) -> Result<(), Status> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if !writes || !request.is("", "pods") {
        return Ok(());
    }
    let mut tolerations = request.object.items_at(&["spec", "tolerations"]).to_vec();
    let missing: Vec<&str> = TAINTS.into_iter().filter(|taint| !tolerates(&tolerations, taint)).collect();
    for taint in &missing {
        tolerations.push(value!({
            "key": (*taint), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS
        }));
    }
    if !missing.is_empty() {
        request.object.set_at(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}

fn tolerates(tolerations: &[Value], taint: &str) -> bool {
    tolerations.iter().any(|toleration| {
        let text = |name: &str| toleration.str_at(&[name]).unwrap_or_default();
        ["", taint].contains(&text("key")) && ["", "NoExecute"].contains(&text("effect"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    #[test]
    fn tolerations_are_added_where_there_are_none() {
        let user = User::anonymous();
        let make = |tolerations: Value| {
            let mut pod = value!({"spec": {"tolerations": tolerations}});
            ask(&PLUGIN, &mut request(Operation::Create, ("", "pods"), &mut pod, None, &user), &Objects::default())
        };
        let shown = [
            make(value!([])),
            make(value!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}])),
            make(value!([{"operator": "Exists"}])),
        ];
        expect_test::expect![[r#"
            {"spec":{"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]}}
            {"spec":{"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists"},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]}}
            {"spec":{"tolerations":[{"operator":"Exists"}]}}"#]].assert_eq(&shown.join("\n"));
    }
}
