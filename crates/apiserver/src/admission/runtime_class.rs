//! RuntimeClass: what a class of runtimes costs and where it runs becomes part of the pod (KEP-585, KEP-688).

use machinery::field::quote;
use machinery::{Object, Status, Value};

use super::{Context, Operation, Plugin, Request};

pub const PLUGIN: Plugin = Plugin { name: "RuntimeClass", admit: Some(admit), validate: Some(validate) };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let Some(class) = class_of(request, context)? else { return Ok(()) };
    set_overhead(request, &class)?;
    set_scheduling(request, &class)
}

fn validate(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let class = class_of(request, context)?;
    let costs = class.as_deref().and_then(overhead).is_some();
    if applies(request) && request.object.at(&["spec", "overhead"]).is_some_and(|o| !o.is_null()) && !costs {
        let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        return Err(request.forbidden(why));
    }
    Ok(())
}

fn applies(request: &Request<'_>) -> bool {
    request.operation == Operation::Create && request.is("", "pods")
}

fn class_of(request: &Request<'_>, context: &Context<'_>) -> Result<Option<std::sync::Arc<Value>>, Status> {
    let name = request.object.str_at(&["spec", "runtimeClassName"]).unwrap_or_default();
    if !applies(request) || name.is_empty() {
        return Ok(None);
    }
    let class = context.objects.get("node.k8s.io", "runtimeclasses", "", name);
    class.map(Some).ok_or_else(|| request.forbidden(format!("pod rejected: RuntimeClass {} not found", quote(name))))
}

fn overhead(class: &Value) -> Option<&Value> {
    class.at(&["overhead", "podFixed"]).filter(|overhead| !overhead.is_null())
}

fn set_overhead(request: &mut Request<'_>, class: &Value) -> Result<(), Status> {
    let Some(overhead) = overhead(class) else { return Ok(()) };
    let given = request.object.at(&["spec", "overhead"]).filter(|given| !given.is_null());
    if given.is_some_and(|given| !same_quantities(given, overhead)) {
        let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
        return Err(request.forbidden(why));
    }
    request.object.set_at(&["spec", "overhead"], overhead.clone());
    Ok(())
}

fn same_quantities(a: &Value, b: &Value) -> bool {
    let quantities = |value: &Value| -> std::collections::BTreeMap<String, Option<machinery::Quantity>> {
        let members = value.as_object().into_iter().flat_map(Object::iter);
        members.map(|(name, q)| (name.to_string(), q.as_str().and_then(|text| text.parse().ok()))).collect()
    };
    quantities(a) == quantities(b)
}

fn set_scheduling(request: &mut Request<'_>, class: &Value) -> Result<(), Status> {
    let selector = class.at(&["scheduling", "nodeSelector"]).and_then(Value::as_object);
    for (key, value) in selector.into_iter().flat_map(Object::iter) {
        let place = ["spec", "nodeSelector", key.as_str()];
        let wanted = value.as_str().unwrap_or_default();
        if let Some(given) = request.object.str_at(&place).filter(|given| *given != wanted) {
            return Err(request.forbidden(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
            )));
        }
        request.object.set_at(&place, wanted);
    }
    let more = class.items_at(&["scheduling", "tolerations"]);
    if !more.is_empty() {
        let merged = merge(request.object.items_at(&["spec", "tolerations"]), more);
        request.object.set_at(&["spec", "tolerations"], merged);
    }
    Ok(())
}

/// Both lists as one, without what another toleration covers; of equal ones the first stays.
fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (at, toleration) in all.iter().enumerate() {
        let covered_before = merged.iter().any(|other| covers(other, toleration));
        let covered_after = all[at + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !covered_before && !covered_after {
            merged.push((*toleration).clone());
        }
    }
    merged
}

/// Whether `wide` tolerates all that `narrow` does.
fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let text = |toleration: &Value, name: &str| toleration.str_at(&[name]).unwrap_or_default().to_owned();
    let same = |name: &str| text(wide, name) == text(narrow, name);
    let (wide_key, exists) = (text(wide, "key"), text(wide, "operator") == "Exists");
    let any_key = wide_key.is_empty() && exists;
    let key_fits = same("key") || any_key;
    let effect_fits = same("effect") || text(wide, "effect").is_empty();
    if !key_fits || !effect_fits {
        return false;
    }
    let seconds = |toleration: &Value| toleration.int_at(&["tolerationSeconds"]);
    let shorter = seconds(wide).is_some_and(|limit| seconds(narrow).is_none_or(|other| other > limit));
    if text(wide, "effect") == "NoExecute" && shorter {
        return false;
    }
    let narrow_equal = ["", "Equal"].contains(&text(narrow, "operator").as_str());
    exists || (narrow_equal && same("value"))
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    fn make(spec: Value) -> String {
        let class = value!({
            "metadata": {"name": "rt"},
            "overhead": {"podFixed": {"cpu": "50m"}},
            "scheduling": {"nodeSelector": {"rt": "x"}, "tolerations": [{"key": "rt", "operator": "Exists"}]}
        });
        let objects = Objects::default().with("node.k8s.io", "runtimeclasses", class);
        let mut pod = value!({"metadata": {"name": "a"}, "spec": spec});
        ask(&PLUGIN, &mut request(Operation::Create, ("", "pods"), &mut pod, None, &User::anonymous()), &objects)
    }

    #[test]
    fn classes() {
        let shown = [
            make(
                value!({"runtimeClassName": "rt", "tolerations": [{"key": "a", "operator": "Exists"}, {"key": "rt", "value": "1"}]}),
            ),
            make(value!({"runtimeClassName": "rt", "overhead": {"cpu": "0.05"}})),
            make(value!({"runtimeClassName": "rt", "overhead": {"cpu": "1"}})),
            make(value!({"runtimeClassName": "rt", "nodeSelector": {"rt": "y"}})),
            make(value!({"runtimeClassName": "nope"})),
            make(value!({"overhead": {"cpu": "1"}})),
            make(value!({})),
        ];
        expect_test::expect![[r#"
            {"metadata":{"name":"a"},"spec":{"runtimeClassName":"rt","tolerations":[{"key":"a","operator":"Exists"},{"key":"rt","operator":"Exists"}],"overhead":{"cpu":"50m"},"nodeSelector":{"rt":"x"}}}
            {"metadata":{"name":"a"},"spec":{"runtimeClassName":"rt","overhead":{"cpu":"50m"},"nodeSelector":{"rt":"x"},"tolerations":[{"key":"rt","operator":"Exists"}]}}
            403 pods "a" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead
            403 pods "a" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[rt] = x; pod.spec.nodeSelector[rt] = y
            403 pods "a" is forbidden: pod rejected: RuntimeClass "nope" not found
            403 pods "a" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead
            {"metadata":{"name":"a"},"spec":{}}"#]].assert_eq(&shown.join("\n"));
    }
}
