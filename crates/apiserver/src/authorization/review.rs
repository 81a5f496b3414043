//! The review kinds: clients ask what they or others may do, and the same authorizer answers.

use machinery::field::{Error, Errors, Path};
use machinery::status::In;
use machinery::{Object, Status, Value, json};

use super::rbac::sort_out;
use super::{Attributes, Authorizer, Decision};
use crate::User;

const GROUP: &str = "authorization.k8s.io";

/// Which review kind is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// SubjectAccessReview: about anybody.
    Subject,
    /// LocalSubjectAccessReview: about anybody in the namespace of the request.
    Local,
    /// SelfSubjectAccessReview: about the caller.
    OneSelf,
    /// SelfSubjectRulesReview: everything that the caller may do in a namespace.
    Rules,
}

/// Fills in the status of `review`, which `caller` creates in `namespace` (empty for cluster-wide kinds).
///
/// # Errors
/// The answer to give when the review makes no sense.
pub fn answer(
    authorizer: &Authorizer,
    kind: Review,
    caller: &User,
    namespace: &str,
    review: &mut Value,
) -> Result<(), Status> {
    if kind == Review::Rules {
        return answer_rules(authorizer, caller, review);
    }
    let errors = validate(kind, namespace, review);
    if !errors.is_empty() {
        return Err(Status::invalid(In { group: GROUP, name: "" }, "", &errors));
    }
    let spec = review.get("spec").cloned().unwrap_or_default();
    let subject = if kind == Review::OneSelf { caller.clone() } else { subject(&spec) };
    review.set_at(&["status"], access_status(&decide(authorizer, &subject, &spec)));
    Ok(())
}

fn answer_rules(authorizer: &Authorizer, caller: &User, review: &mut Value) -> Result<(), Status> {
    let namespace = review.str_at(&["spec", "namespace"]).unwrap_or_default().to_owned();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = authorizer.rules_for(caller, &namespace);
    let mut status = Value::object();
    for (field, rules) in sort_out(&found.rules) {
        status.set_at(&[field], Value::Array(rules));
    }
    status.set_at(&["incomplete"], found.incomplete);
    if !found.errors.is_empty() {
        status.set_at(&["evaluationError"], found.errors.join(", "));
    }
    // The answer is an object of its own: nothing of the question comes back.
    review.set_at(&["metadata"], Value::object());
    review.set_at(&["spec"], Value::object());
    review.set_at(&["status"], status);
    Ok(())
}

fn decide(authorizer: &Authorizer, user: &User, spec: &Value) -> Decision {
    let path = spec.get("nonResourceAttributes").filter(|attributes| !attributes.is_null());
    let asked = path.or_else(|| spec.get("resourceAttributes"));
    let text = |name: &str| asked.and_then(|a| a.str_at(&[name])).unwrap_or_default();
    let selector = field_selector(asked);
    authorizer.authorize(&Attributes {
        user,
        verb: text("verb"),
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        path: text("path"),
        is_resource: path.is_none(),
        field_selector: &selector,
    })
}

/// The requirements of a review's field selector in the form of a request's; what has no such form selects nothing
/// more and is left out (KEP-4601).
fn field_selector(attributes: Option<&Value>) -> String {
    let Some(selector) = attributes.and_then(|a| a.get("fieldSelector")) else { return String::new() };
    let terms = selector.items_at(&["requirements"]).iter().filter_map(|requirement| {
        let key = requirement.str_at(&["key"])?;
        let [value] = requirement.items_at(&["values"]) else { return None };
        match requirement.str_at(&["operator"])? {
            "In" => Some(format!("{key}={}", value.as_str()?)),
            "NotIn" => Some(format!("{key}!={}", value.as_str()?)),
            _ => None,
        }
    });
    let terms: Vec<String> = terms.collect();
    if terms.is_empty() { selector.str_at(&["rawSelector"]).unwrap_or_default().to_owned() } else { terms.join(",") }
}

fn subject(spec: &Value) -> User {
    let texts = |list: &[Value]| list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flat_map(Object::iter);
    User {
        name: spec.str_at(&["user"]).unwrap_or_default().to_owned(),
        uid: spec.str_at(&["uid"]).unwrap_or_default().to_owned(),
        groups: texts(spec.items_at(&["groups"])),
        extra: extra.map(|(key, values)| (key.to_string(), texts(values.as_array().unwrap_or_default()))).collect(),
    }
}

fn access_status(decision: &Decision) -> Value {
    let mut status = Value::object();
    status.set_at(&["allowed"], decision.is_allowed());
    if matches!(decision, Decision::Deny(_)) {
        status.set_at(&["denied"], true);
    }
    if !decision.reason().is_empty() {
        status.set_at(&["reason"], decision.reason());
    }
    status
}

fn validate(kind: Review, namespace: &str, review: &Value) -> Errors {
    let (mut errors, spec) = (Errors::new(), Path::new("spec"));
    let given = |name: &str| review.at(&["spec", name]).filter(|value| !value.is_null());
    let (resource, path) = (given("resourceAttributes"), given("nonResourceAttributes"));
    match (resource, path) {
        (Some(_), Some(path)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            errors.push(Error::invalid_shown(&spec.child("nonResourceAttributes"), show_path(path), why));
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(Error::invalid_shown(&spec.child("resourceAttributes"), "null", why));
        }
        _ => {}
    }
    let nobody =
        review.str_at(&["spec", "user"]).is_none_or(str::is_empty) && review.items_at(&["spec", "groups"]).is_empty();
    if kind != Review::OneSelf && nobody {
        errors.push(Error::invalid(&spec.child("user"), "", "at least one of user or group must be specified"));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        validate_selector(
            resource.and_then(|r| r.get(selector)),
            &spec.child("resourceAttributes").child(selector),
            selector == "labelSelector",
            &mut errors,
        );
    }
    errors.extend(validate_metadata(kind, review));
    if kind == Review::Local {
        validate_local(namespace, resource, path, &mut errors);
    }
    errors
}

/// A question has no name and no labels; who owns its fields does not count.
fn validate_metadata(kind: Review, review: &Value) -> Option<Error> {
    let metadata = review.get("metadata")?;
    let is_free = |field: &str| field == "managedFields" || (kind == Review::Local && field == "namespace");
    let mut fields = metadata.as_object().into_iter().flat_map(Object::iter);
    let said = fields.any(|(field, value)| !is_free(field) && !value.is_null());
    let detail = if kind == Review::Local { "must be empty except for namespace" } else { "must be empty" };
    said.then(|| Error::invalid(&Path::new("metadata"), metadata.clone(), detail))
}

fn validate_local(namespace: &str, resource: Option<&Value>, path: Option<&Value>, errors: &mut Errors) {
    let asked = resource.map(|resource| resource.str_at(&["namespace"]).unwrap_or_default());
    if let Some(asked) = asked.filter(|asked| *asked != namespace) {
        let field = Path::new("spec.resourceAttributes.namespace");
        errors.push(Error::invalid(&field, asked, "must match metadata.namespace"));
    }
    if let Some(path) = path {
        let field = Path::new("spec.nonResourceAttributes");
        errors.push(Error::invalid_shown(&field, show_path(path), "disallowed on this kind of request"));
    }
}

fn validate_selector(selector: Option<&Value>, field: &Path, is_label: bool, errors: &mut Errors) {
    let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return };
    let raw = selector.str_at(&["rawSelector"]).unwrap_or_default();
    let requirements = selector.items_at(&["requirements"]);
    if !raw.is_empty() && !requirements.is_empty() {
        errors.push(Error::invalid(
            &field.child("rawSelector"),
            raw,
            "may not specified at the same time as requirements",
        ));
    }
    if raw.is_empty() && requirements.is_empty() {
        let why = format!("when {field} is specified, requirements or rawSelector is required");
        errors.push(Error::required(&field.child("requirements"), why));
    }
    for (i, requirement) in requirements.iter().enumerate() {
        validate_requirement(requirement, &field.child("requirements").index(i), is_label, errors);
    }
}

/// Operators that are not known pass: a newer server may ask.
fn validate_requirement(requirement: &Value, field: &Path, is_label: bool, errors: &mut Errors) {
    let key = requirement.str_at(&["key"]).unwrap_or_default();
    if !is_label && key.is_empty() {
        errors.push(Error::required(&field.child("key"), "must be specified"));
    }
    let values = requirement.items_at(&["values"]);
    match requirement.str_at(&["operator"]).unwrap_or_default() {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&field.child("values"), why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&field.child("values"), why));
        }
        _ => {}
    }
    if is_label {
        let problems = machinery::names::is_qualified_name(key).into_iter();
        errors.extend(problems.map(|why| Error::invalid(&field.child("key"), key, why)));
        for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let problems = machinery::names::is_label_value(value).into_iter();
            errors.extend(problems.map(|why| Error::invalid(&field.child("values").index(i), value, why)));
        }
    }
}

/// The attributes of a path as the message shows them: a struct with its Go names.
fn show_path(attributes: &Value) -> String {
    let text = |name: &str| attributes.str_at(&[name]).unwrap_or_default();
    let shown = machinery::value!({"Path": (text("path")), "Verb": (text("verb"))});
    String::from_utf8_lossy(&json::to_vec(&shown)).into_owned()
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;
    use crate::authorization::{Change, Mode};

    fn authorizer() -> Authorizer {
        let authorizer = Authorizer::new(vec![Mode::Node, Mode::Rbac]);
        let role = value!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/apis"]}, {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]});
        authorizer.observe("rbac.authorization.k8s.io", "clusterroles", "", "r", Change::Put(&role));
        let binding =
            value!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "jane"}]});
        authorizer.observe("rbac.authorization.k8s.io", "clusterrolebindings", "", "b", Change::Put(&binding));
        authorizer
    }

    fn ask(kind: Review, namespace: &str, spec: Value) -> String {
        ask_with(kind, namespace, spec, value!({}))
    }

    fn ask_with(kind: Review, namespace: &str, spec: Value, metadata: Value) -> String {
        let mut review = value!({"metadata": metadata, "spec": spec});
        match answer(&authorizer(), kind, &User::new("jane", &[]), namespace, &mut review) {
            Ok(()) => String::from_utf8(json::to_vec(review.get("status").unwrap())).unwrap(),
            Err(status) => status.message,
        }
    }

    #[test]
    fn reviews() {
        let pods = || value!({"verb": "list", "resource": "pods"});
        let shown = [
            ask(Review::OneSelf, "", value!({"resourceAttributes": (pods())})),
            ask(Review::OneSelf, "", value!({"nonResourceAttributes": {"path": "/apis", "verb": "get"}})),
            ask(Review::Subject, "", value!({"user": "joe", "resourceAttributes": (pods())})),
            ask(Review::Subject, "", value!({"groups": ["system:masters"], "resourceAttributes": (pods())})),
            ask(Review::Subject, "", value!({"resourceAttributes": (pods())})),
            ask(Review::OneSelf, "", value!({})),
            ask(
                Review::OneSelf,
                "",
                value!({"resourceAttributes": (pods()), "nonResourceAttributes": {"path": "/x", "verb": "get"}}),
            ),
            ask(Review::Local, "a", value!({"user": "x", "resourceAttributes": {"namespace": "other", "verb": "get"}})),
            ask(
                Review::OneSelf,
                "",
                value!({"resourceAttributes": {"fieldSelector": {"requirements": [{"operator": "In"}]},
                    "labelSelector": {"requirements": [{"key": "a b", "operator": "Exists", "values": ["c d"]}]}}}),
            ),
            ask_with(Review::Subject, "", value!({"user": "x", "resourceAttributes": (pods())}), value!({"name": "n"})),
            ask_with(
                Review::Local,
                "a",
                value!({"user": "x", "nonResourceAttributes": {}}),
                value!({"namespace": "a", "labels": {"b": "c"}}),
            ),
            ask(Review::Rules, "", value!({"namespace": "a"})),
            ask(Review::Rules, "", value!({})),
        ];
        expect_test::expect![[r#"
            {"allowed":true,"reason":"RBAC: allowed by ClusterRoleBinding \"b\" of ClusterRole \"r\" to User \"jane\""}
            {"allowed":true,"reason":"RBAC: allowed by ClusterRoleBinding \"b\" of ClusterRole \"r\" to User \"jane\""}
            {"allowed":false}
            {"allowed":true}
            .authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified
            .authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified
            .authorization.k8s.io "" is invalid: spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination with resourceAttributes
            .authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace
            .authorization.k8s.io "" is invalid: [spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be specified, spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', spec.resourceAttributes.labelSelector.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist', spec.resourceAttributes.labelSelector.requirements[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), spec.resourceAttributes.labelSelector.requirements[0].values[0]: Invalid value: "c d": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')]
            .authorization.k8s.io "" is invalid: metadata: Invalid value: {"name":"n"}: must be empty
            .authorization.k8s.io "" is invalid: [metadata: Invalid value: {"namespace":"a","labels":{"b":"c"}}: must be empty except for namespace, spec.nonResourceAttributes: Invalid value: {"Path":"","Verb":""}: disallowed on this kind of request]
            {"nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/apis"]}],"resourceRules":[{"verbs":["list"],"apiGroups":[""],"resources":["pods"]}],"incomplete":false}
            no namespace on request"#]]
        .assert_eq(&shown.join("\n"));
    }
}
