//! Ingress: which requests from outside go to which Service.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Generation, Kind, STATUS, Subresource};
use crate::table::{AGE, Describe, NAME, age, str_or, text};
use crate::validate::{ip, one_of, text as check_text};

/// The class in the form that came before `spec.ingressClassName`.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
/// What a path may not have inside, and not at its end.
const BAD_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_SUFFIXES: [&str; 2] = ["/..", "/."];
/// So many hosts are shown in a cell.
const SHOWN_HOSTS: usize = 3;

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    kind: "Ingress",
    plural: "ingresses",
    short_names: &["ing"],
    storage: "ingress",
    schema: "io.k8s.api.networking.v1.Ingress",
    subresources: &[Subresource { validate: |new, _| status(new), ..STATUS }],
    columns: &[
        NAME,
        text(
            "Class",
            Describe::Text("The name of the IngressClass resource that should be used for additional configuration"),
        ),
        text("Hosts", Describe::Text("Hosts that incoming requests are matched against before the ingress rule")),
        text("Address", Describe::Text("Address is a list containing ingress points for the load-balancer")),
        text("Ports", Describe::Text("Ports of TLS configurations that open")),
        AGE,
    ],
    row,
    generation: Generation::Of(&["spec"]),
    validate: |ingress| {
        let mut errors = spec(ingress);
        errors.extend(one_class(ingress));
        errors
    },
    validate_update: |new, _| spec(new),
    warnings: |ingress, old| {
        let annotated = old.is_none() && meta::annotation(ingress, CLASS_ANNOTATION).is_some();
        let advice =
            format!("annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead");
        annotated.then_some(advice).into_iter().collect()
    },
    ..BASE
};

fn row(ingress: &Value, now: Timestamp) -> Vec<Value> {
    let tls = !ingress.items_at(&["spec", "tls"]).is_empty();
    vec![
        meta::name(ingress).into(),
        str_or(ingress, &["spec", "ingressClassName"], "<none>"),
        hosts(ingress.items_at(&["spec", "rules"])).into(),
        addresses(ingress).into(),
        if tls { "80, 443" } else { "80" }.into(),
        age(ingress, now),
    ]
}

fn hosts(rules: &[Value]) -> String {
    let named = |rule: &&Value| rule.str_at(&["host"]).is_some_and(|host| !host.is_empty());
    let shown: Vec<&str> =
        rules.iter().filter(named).take(SHOWN_HOSTS).filter_map(|rule| rule.str_at(&["host"])).collect();
    // More there are when a rule follows the last one shown, whether it names a host or not.
    let full = rules.iter().enumerate().filter(|(_, rule)| named(rule)).nth(SHOWN_HOSTS - 1);
    match full {
        _ if shown.is_empty() => "*".to_owned(),
        Some((last, _)) if last + 1 < rules.len() => {
            format!("{} + {} more...", shown.join(","), rules.len() - SHOWN_HOSTS)
        }
        _ => shown.join(","),
    }
}

fn addresses(ingress: &Value) -> String {
    let points = ingress.items_at(&["status", "loadBalancer", "ingress"]).iter();
    let mut all: Vec<&str> = points
        .filter_map(|point| ["ip", "hostname"].into_iter().filter_map(|f| point.str_at(&[f])).find(|t| !t.is_empty()))
        .collect();
    all.sort_unstable();
    all.dedup();
    all.join(",")
}

fn spec(ingress: &Value) -> Errors {
    let path = Path::new("spec");
    let rules = ingress.items_at(&["spec", "rules"]);
    let backend = ingress.at(&["spec", "defaultBackend"]).filter(|backend| !backend.is_null());
    let mut errors = Errors::new();
    if rules.is_empty() && backend.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(Error::invalid(&path, ingress.at(&["spec", "rules"]).cloned(), detail));
    }
    if let Some(backend) = backend {
        errors.extend(self::backend(backend, &path.child("defaultBackend")));
    }
    for (i, rule) in rules.iter().enumerate() {
        errors.extend(self::rule(rule, &path.child("rules").index(i)));
    }
    for (i, tls) in ingress.items_at(&["spec", "tls"]).iter().enumerate() {
        errors.extend(self::tls(tls, &path.child("tls").index(i)));
    }
    if let Some(class) = ingress.str_at(&["spec", "ingressClassName"]) {
        errors.extend(check_text(names::is_dns1123_subdomain, class, &path.child("ingressClassName")));
    }
    errors
}

fn one_class(ingress: &Value) -> Option<Error> {
    let old = meta::annotation(ingress, CLASS_ANNOTATION)?;
    let new = ingress.str_at(&["spec", "ingressClassName"])?;
    let path = Path::new("annotations").child(CLASS_ANNOTATION);
    (old != new).then(|| Error::invalid(&path, old, "must match `ingressClassName` when both are specified"))
}

fn rule(rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(host) = rule.str_at(&["host"]).filter(|host| !host.is_empty()) {
        if names::parse_ip(host).is_some() {
            errors.push(Error::invalid(&path.child("host"), host, "must be a DNS name, not an IP address"));
        }
        errors.extend(check_text(host_check(host), host, &path.child("host")));
    }
    if let Some(http) = rule.get("http").filter(|http| !http.is_null()) {
        let path = path.child("http.paths");
        let paths = http.items_at(&["paths"]);
        if paths.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        for (i, one) in paths.iter().enumerate() {
            errors.extend(http_path(one, &path.index(i)));
        }
    }
    errors
}

fn host_check(host: &str) -> fn(&str) -> Vec<String> {
    if host.contains('*') { names::is_wildcard_dns1123_subdomain } else { names::is_dns1123_subdomain }
}

fn http_path(one: &Value, path: &Path) -> Errors {
    let Some(kind) = one.str_at(&["pathType"]) else {
        return vec![Error::required(&path.child("pathType"), "pathType must be specified")];
    };
    let (field, place) = (path.child("path"), one.str_at(&["path"]).unwrap_or_default());
    let mut errors = Errors::new();
    let relative = !place.starts_with('/') && (kind != "ImplementationSpecific" || !place.is_empty());
    if relative && PATH_TYPES.contains(&kind) {
        errors.push(Error::invalid(&field, place, "must be an absolute path"));
    }
    if matches!(kind, "Exact" | "Prefix") {
        let inside = BAD_SEQUENCES.iter().filter(|bad| place.contains(**bad));
        errors.extend(inside.map(|bad| Error::invalid(&field, place, format!("must not contain '{bad}'"))));
        let at_end = BAD_SUFFIXES.iter().filter(|bad| place.ends_with(**bad));
        errors.extend(at_end.map(|bad| Error::invalid(&field, place, format!("cannot end with '{bad}'"))));
    }
    errors.extend(one_of(kind, &PATH_TYPES, &path.child("pathType")));
    errors.extend(backend(one.get("backend").unwrap_or(&Value::Null), &path.child("backend")));
    errors
}

fn backend(backend: &Value, path: &Path) -> Errors {
    let [service, resource] = ["service", "resource"].map(|field| backend.get(field).filter(|value| !value.is_null()));
    match (service, resource) {
        (Some(_), Some(_)) => vec![Error::invalid(path, "", "cannot set both resource and service backends")],
        (None, Some(resource)) => self::resource(resource, &path.child("resource")),
        (Some(service), None) => self::service(service, path),
        (None, None) => vec![Error::invalid(path, "", "resource or service backend is required")],
    }
}

fn resource(resource: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(group) = resource.str_at(&["apiGroup"]) {
        errors.extend(check_text(names::is_dns1123_subdomain, group, &path.child("apiGroup")));
    }
    for field in ["kind", "name"] {
        match resource.str_at(&[field]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child(field), "")),
            name => errors.extend(check_text(names::is_path_segment_name, name, &path.child(field))),
        }
    }
    errors
}

fn service(service: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match service.str_at(&["name"]).unwrap_or_default() {
        "" => errors.push(Error::required(&path.child("service.name"), "")),
        name => errors.extend(check_text(names::is_dns1123_label, name, &path.child("service.name"))),
    }
    let name = service.str_at(&["port", "name"]).unwrap_or_default();
    match (name, service.int_at(&["port", "number"]).unwrap_or_default()) {
        ("", 0) => errors.push(Error::required(path, "port name or number is required")),
        ("", number) => {
            let field = path.child("service.port.number");
            errors.extend(names::is_port(number).into_iter().map(|m| Error::invalid(&field, number, m)));
        }
        (name, 0) => errors.extend(check_text(names::is_port_name, name, &path.child("service.port.name"))),
        _ => errors.push(Error::invalid(path, "", "cannot set both port name & port number")),
    }
    errors
}

fn tls(tls: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, host) in tls.items_at(&["hosts"]).iter().filter_map(Value::as_str).enumerate() {
        errors.extend(check_text(host_check(host), host, &path.child("hosts").index(i)));
    }
    if let Some(name) = tls.str_at(&["secretName"]).filter(|name| !name.is_empty()) {
        errors.extend(check_text(names::is_dns1123_subdomain, name, &path.child("secretName")));
    }
    errors
}

fn status(ingress: &Value) -> Errors {
    let path = Path::new("status.loadBalancer.ingress");
    let mut errors = Errors::new();
    for (i, point) in ingress.items_at(&["status", "loadBalancer", "ingress"]).iter().enumerate() {
        let path = path.index(i);
        let field = |name: &str| point.str_at(&[name]).filter(|text| !text.is_empty());
        errors.extend(field("ip").into_iter().flat_map(|address| ip(address, &path.child("ip"))));
        if let Some(host) = field("hostname") {
            errors.extend(check_text(names::is_dns1123_subdomain, host, &path.child("hostname")));
            if names::parse_ip(host).is_some() {
                let detail = "must be a DNS name, not an IP address";
                errors.push(Error::invalid(&path.child("hostname"), host, detail));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn backends() {
        let of = |backend: Value| {
            field::aggregate(&spec(&Value::Object(
                [("spec", value!({"defaultBackend": backend}))].into_iter().collect(),
            )))
        };
        expect_test::expect![[r#"spec.defaultBackend: Invalid value: "": resource or service backend is required"#]]
            .assert_eq(&of(value!({})));
        expect_test::expect!["[spec.defaultBackend.service.name: Required value, spec.defaultBackend: Required value: port name or number is required]"]
            .assert_eq(&of(value!({"service": {}})));
        expect_test::expect![[r#"spec.defaultBackend: Invalid value: "": cannot set both port name & port number"#]]
            .assert_eq(&of(value!({"service": {"name": "s", "port": {"name": "http", "number": 80}}})));
        expect_test::expect![
            "[spec.defaultBackend.resource.kind: Required value, spec.defaultBackend.resource.name: Required value]"
        ]
        .assert_eq(&of(value!({"resource": {}})));
    }

    #[test]
    fn host_cells() {
        let of = |hosts: &[&str]| {
            let rules: Vec<Value> = hosts.iter().map(|host| value!({"host": (*host)})).collect();
            self::hosts(&rules)
        };
        assert_eq!(of(&[]), "*");
        assert_eq!(of(&["a", "", "b"]), "a,b");
        assert_eq!(of(&["a", "b", "c"]), "a,b,c");
        assert_eq!(of(&["a", "b", "c", ""]), "a,b,c + 1 more...");
    }
}
