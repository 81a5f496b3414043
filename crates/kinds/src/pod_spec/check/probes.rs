//! Probes and lifecycle hooks.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use super::filled;
use crate::validate::{non_negative_at, one_of, port_or_name, text};

/// What is wrong with the hooks and probes of a container.
pub(super) fn all(container: &Value, spec: &Value, path: &Path) -> Errors {
    let grace = spec.int_at(&["terminationGracePeriodSeconds"]);
    let mut errors = Errors::new();
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = container.at(&["lifecycle", hook]).filter(|handler| !handler.is_null()) {
            errors.extend(self::handler(handler, grace, &path.child("lifecycle").child(hook)));
        }
    }
    let os = spec.str_at(&["os", "name"]).is_some_and(|os| !os.is_empty());
    if container.str_at(&["lifecycle", "stopSignal"]).is_some() && !os {
        let detail = "may not be set for containers with empty `spec.os.name`";
        errors.push(Error::forbidden(&path.child("lifecycle.stopSignal"), detail));
    }
    for (field, once) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
        let Some(probe) = container.get(field).filter(|probe| !probe.is_null()) else { continue };
        errors.extend(self::probe(probe, once, &path.child(field)));
        let grace = probe.int_at(&["terminationGracePeriodSeconds"]).filter(|_| field == "readinessProbe");
        if let Some(seconds) = grace {
            let path = path.child("readinessProbe.terminationGracePeriodSeconds");
            errors.push(Error::invalid(&path, seconds, "must not be set for readinessProbes"));
        }
    }
    errors
}

fn probe(probe: &Value, once: bool, path: &Path) -> Errors {
    let mut errors = handler(probe, None, path);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        errors.extend(non_negative_at(probe, field, path));
    }
    if let Some(seconds) = probe.int_at(&["terminationGracePeriodSeconds"]).filter(|seconds| *seconds <= 0) {
        let field = path.child("terminationGracePeriodSeconds");
        errors.push(Error::invalid(&field, seconds, "must be greater than 0"));
    }
    let threshold = probe.int_at(&["successThreshold"]).unwrap_or_default();
    if once && threshold != 1 {
        errors.push(Error::invalid(&path.child("successThreshold"), threshold, "must be 1"));
    }
    errors
}

fn handler(handler: &Value, grace: Option<i64>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut count = 0;
    for field in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let Some(action) = handler.get(field).filter(|action| !action.is_null()) else { continue };
        let path = path.child(field);
        if count > 0 {
            errors.push(Error::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        count += 1;
        errors.extend(self::action(field, action, grace, &path));
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a handler type"));
    }
    errors
}

fn action(kind: &str, action: &Value, grace: Option<i64>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match kind {
        "exec" if action.items_at(&["command"]).is_empty() => {
            errors.push(Error::required(&path.child("command"), ""));
        }
        "httpGet" => {
            if filled(action, "path").is_none() {
                errors.push(Error::required(&path.child("path"), ""));
            }
            errors.extend(port_or_name(action.get("port"), &path.child("port")));
            let scheme = action.str_at(&["scheme"]).unwrap_or_default();
            errors.extend(one_of(scheme, &["HTTP", "HTTPS"], &path.child("scheme")));
            for header in action.items_at(&["httpHeaders"]) {
                let name = header.str_at(&["name"]).unwrap_or_default();
                errors.extend(text(names::is_http_header_name, name, &path.child("httpHeaders")));
            }
        }
        "tcpSocket" => errors.extend(port_or_name(action.get("port"), &path.child("port"))),
        "grpc" => {
            let port = action.int_at(&["port"]).unwrap_or_default();
            errors.extend(names::is_port(port).into_iter().map(|m| Error::invalid(&path.child("port"), port, m)));
        }
        "sleep" => {
            let seconds = action.int_at(&["seconds"]).unwrap_or_default();
            if let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) {
                let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                errors.push(Error::invalid(path, seconds, detail));
            }
        }
        _ => {}
    }
    errors
}
