//! An Ingress in the older form, whose backends name their service's port by a number or a name in one field.

use machinery::{Value, value};

use super::definition::take;

/// From the older form to that of v1.
pub fn serve(ingress: &mut Value) {
    let Some(spec) = ingress.get_mut("spec").filter(|spec| spec.as_object().is_some()) else { return };
    if let Some(mut backend) = take(spec, "backend") {
        serve_backend(&mut backend);
        spec.set_at(&["defaultBackend"], backend);
    }
    for rule in spec.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
        for path in rule.at_mut(&["http", "paths"]).and_then(Value::as_array_mut).into_iter().flatten() {
            if path.get("pathType").is_none_or(Value::is_null) {
                path.set_at(&["pathType"], "ImplementationSpecific");
            }
            path.get_mut("backend").into_iter().for_each(serve_backend);
        }
    }
}

fn serve_backend(backend: &mut Value) {
    let name = take(backend, "serviceName").and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default();
    let port = match take(backend, "servicePort") {
        Some(Value::String(name)) => value!({"name": name}),
        Some(Value::Int(number)) if number != 0 => value!({"number": number}),
        _ if name.is_empty() => return,
        _ => Value::object(),
    };
    backend.set_at(&["service"], value!({"name": name, "port": port}));
}

#[cfg(test)]
mod tests {
    use machinery::json;

    use super::*;

    #[test]
    fn backends_have_their_port_in_a_place_of_its_own() {
        let mut ingress = value!({"spec": {
            "backend": {"serviceName": "all", "servicePort": 80},
            "rules": [
                {"host": "a.b", "http": {"paths": [
                    {"path": "/x", "backend": {"serviceName": "web", "servicePort": "http"}},
                    {"path": "/y", "pathType": "Exact", "backend": {"resource": {"kind": "Bucket", "name": "b"}, "servicePort": 0}}
                ]}},
                {"host": "c.d"}
            ]
        }});
        serve(&mut ingress);
        expect_test::expect![[r#"{"spec":{"rules":[{"host":"a.b","http":{"paths":[{"path":"/x","backend":{"service":{"name":"web","port":{"name":"http"}}},"pathType":"ImplementationSpecific"},{"path":"/y","pathType":"Exact","backend":{"resource":{"kind":"Bucket","name":"b"}}}]}},{"host":"c.d"}],"defaultBackend":{"service":{"name":"all","port":{"number":80}}}}}"#]].assert_eq(&json::to_string(&ingress));
    }
}
