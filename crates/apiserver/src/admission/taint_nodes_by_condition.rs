//! TaintNodesByCondition: a new node takes no pods before somebody found it ready (KEP-382).

use machinery::{Status, Value, value};

use super::{Context, Operation, Plugin, Request};

pub const PLUGIN: Plugin = Plugin { name: "TaintNodesByCondition", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, _: &Context<'_>) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is("", "nodes") {
        return Ok(());
    }
    let taint = value!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    let same = |other: &Value| ["key", "effect"].iter().all(|field| other.get(field) == taint.get(field));
    let taints = request.object.items_at(&["spec", "taints"]);
    if !taints.iter().any(same) {
        let all: Vec<Value> = taints.iter().cloned().chain([taint]).collect();
        request.object.set_at(&["spec", "taints"], all);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    #[test]
    fn a_new_node_is_not_ready() {
        let user = User::anonymous();
        let make = |mut node: Value| {
            let mut request = request(Operation::Create, ("", "nodes"), &mut node, None, &user);
            ask(&PLUGIN, &mut request, &Objects::default())
        };
        let tainted = make(value!({"spec": {}}));
        assert_eq!(tainted, r#"{"spec":{"taints":[{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}]}}"#);
        assert_eq!(make(machinery::json::parse(tainted.as_bytes()).unwrap()), tainted);
    }
}
