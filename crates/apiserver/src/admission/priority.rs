//! Priority: a pod's priority is the number of its class (KEP-902, KEP-268).

use machinery::{Status, Value, meta};

use super::{Context, Operation, Plugin, Request};

const GROUP: &str = "scheduling.k8s.io";

pub const PLUGIN: Plugin = Plugin { name: "Priority", admit: Some(admit), validate: Some(validate) };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if !request.is("", "pods") {
        return Ok(());
    }
    match request.operation {
        Operation::Create => set_priority(request, context),
        Operation::Update => {
            keep_priority(request);
            Ok(())
        }
        Operation::Delete | Operation::Connect => Ok(()),
    }
}

/// One class at most is the default.
fn validate(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let is_default = request.object.bool_at(&["globalDefault"]) == Some(true);
    if !writes || !request.is(GROUP, "priorityclasses") || !is_default {
        return Ok(());
    }
    let name = meta::name(request.object);
    let itself = |class: &Value| request.operation == Operation::Update && meta::name(class) == name;
    match default_class(context).filter(|class| !itself(class)) {
        Some(class) => Err(request.forbidden(format!(
            "PriorityClass {} is already marked as default. Only one default can exist",
            meta::name(&class)
        ))),
        None => Ok(()),
    }
}

fn set_priority(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    let name = request.object.str_at(&["spec", "priorityClassName"]).unwrap_or_default();
    let class = if name.is_empty() {
        default_class(context)
    } else {
        let class = context.objects.get(GROUP, "priorityclasses", "", name);
        Some(class.ok_or_else(|| request.forbidden(format!("no PriorityClass with name {name} was found")))?)
    };
    let priority = class.as_ref().and_then(|class| class.int_at(&["value"])).unwrap_or_default();
    let policy = class.as_ref().and_then(|class| class.str_at(&["preemptionPolicy"])).unwrap_or("PreemptLowerPriority");
    if let Some(given) = request.object.int_at(&["spec", "priority"]).filter(|given| *given != priority) {
        return Err(request.forbidden(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    if let Some(given) = request.object.str_at(&["spec", "preemptionPolicy"]).filter(|given| *given != policy) {
        return Err(request.forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    if let Some(class) = class.as_ref().filter(|_| name.is_empty()) {
        request.object.set_at(&["spec", "priorityClassName"], meta::name(class));
    }
    request.object.set_at(&["spec", "priority"], priority);
    request.object.set_at(&["spec", "preemptionPolicy"], policy);
    Ok(())
}

/// An update that leaves the computed fields out means to keep them.
fn keep_priority(request: &mut Request<'_>) {
    for field in ["priority", "preemptionPolicy"] {
        let old = request.old.and_then(|old| old.at(&["spec", field]));
        if let Some(old) = old.filter(|_| request.object.at(&["spec", field]).is_none()) {
            request.object.set_at(&["spec", field], old.clone());
        }
    }
}

/// The default class; of several the lowest.
fn default_class(context: &Context<'_>) -> Option<std::sync::Arc<Value>> {
    let classes = context.objects.list(GROUP, "priorityclasses", "").into_iter();
    classes
        .filter(|class| class.bool_at(&["globalDefault"]) == Some(true))
        .min_by_key(|class| class.int_at(&["value"]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    fn class(name: &str, value: i64, default: bool) -> Value {
        value!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": "Never"})
    }

    fn make(objects: &Objects, spec: Value) -> String {
        let mut pod = value!({"metadata": {"name": "a"}, "spec": spec});
        ask(&PLUGIN, &mut request(Operation::Create, ("", "pods"), &mut pod, None, &User::anonymous()), objects)
    }

    #[test]
    fn pods_get_the_number_of_their_class() {
        let plain = Objects::default().with(GROUP, "priorityclasses", class("pc", 1234, false));
        let default = Objects::default().with(GROUP, "priorityclasses", class("pc", 7, true));
        let shown = [
            make(&plain, value!({})),
            make(&plain, value!({"priority": 0})),
            make(&plain, value!({"priorityClassName": "pc"})),
            make(&plain, value!({"priorityClassName": "pc", "priority": 1234})),
            make(&plain, value!({"priorityClassName": "pc", "priority": 5})),
            make(&plain, value!({"priorityClassName": "pc", "preemptionPolicy": "PreemptLowerPriority"})),
            make(&plain, value!({"priorityClassName": "nope"})),
            make(&default, value!({})),
        ];
        expect_test::expect![[r#"
            {"metadata":{"name":"a"},"spec":{"priority":0,"preemptionPolicy":"PreemptLowerPriority"}}
            {"metadata":{"name":"a"},"spec":{"priority":0,"preemptionPolicy":"PreemptLowerPriority"}}
            {"metadata":{"name":"a"},"spec":{"priorityClassName":"pc","priority":1234,"preemptionPolicy":"Never"}}
            {"metadata":{"name":"a"},"spec":{"priorityClassName":"pc","priority":1234,"preemptionPolicy":"Never"}}
            403 pods "a" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 1234 from the given PriorityClass name
            403 pods "a" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name
            403 pods "a" is forbidden: no PriorityClass with name nope was found
            {"metadata":{"name":"a"},"spec":{"priorityClassName":"pc","priority":7,"preemptionPolicy":"Never"}}"#]].assert_eq(&shown.join("\n"));
    }

    #[test]
    fn one_default_class() {
        let objects = Objects::default().with(GROUP, "priorityclasses", class("pc", 7, true));
        let mut other = class("other", 1, true);
        let user = User::anonymous();
        let mut request = request(Operation::Create, (GROUP, "priorityclasses"), &mut other, None, &user);
        expect_test::expect![[r#"403 priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass pc is already marked as default. Only one default can exist"#]].assert_eq(&ask(&PLUGIN, &mut request, &objects));
    }
}
