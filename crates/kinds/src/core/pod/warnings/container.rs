//! What deserves a warning in a pod's containers.

use machinery::field::quote;
use machinery::{Value, meta};

use super::{CONTAINER_LISTS, is_set, quantity};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// The warnings about the containers of a pod or template: of each one, then of their ports together.
pub(super) fn warnings(template: &Value, prefix: &str) -> Vec<String> {
    let is_pod = prefix.is_empty();
    let mut all = Vec::new();
    for (place, container) in containers(template, prefix) {
        let annotation = format!("{SECCOMP}{}", name(container));
        let has_field = is_set(container, &["securityContext", "seccompProfile"]);
        if !has_field && meta::annotation(template, &annotation).is_some() {
            all.push(seccomp(prefix, &annotation));
        }
        if !is_pod {
            all.extend(armor(template, container, prefix));
        }
        all.extend(fractions(container, &place));
        all.extend(hidden(container, &place));
    }
    all.extend(ports(template, prefix));
    all
}

/// The warnings about containers of a pod that have an AppArmor profile in an annotation. A field has been made of it,
/// so that there is one says nothing.
pub(super) fn app_armor(pod: &Value) -> Vec<String> {
    containers(pod, "").filter_map(|(_, container)| annotated(pod, container, "")).collect()
}

/// The warning about a seccomp annotation without a field beside it.
pub(super) fn seccomp(prefix: &str, annotation: &str) -> String {
    format!(
        "{prefix}metadata.annotations[{annotation}]: non-functional in v1.27+; use the \"seccompProfile\" field instead"
    )
}

/// The warning about a template's container whose AppArmor profile is in an annotation only.
fn armor(template: &Value, container: &Value, prefix: &str) -> Option<String> {
    let field = ["securityContext", "appArmorProfile"];
    let has_field = is_set(container, &field) || template.get("spec").is_some_and(|spec| is_set(spec, &field));
    if has_field { None } else { annotated(template, container, prefix) }
}

fn annotated(template: &Value, container: &Value, prefix: &str) -> Option<String> {
    let annotation = format!("{APP_ARMOR}{}", name(container));
    let advice = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
    let is_there = meta::annotation(template, &annotation).is_some();
    is_there.then(|| format!("{prefix}metadata.annotations[{annotation}]: {advice}"))
}

/// All containers, each with its place.
fn containers<'a>(template: &'a Value, prefix: &str) -> impl Iterator<Item = (String, &'a Value)> {
    CONTAINER_LISTS.into_iter().flat_map(move |list| {
        let place = format!("{prefix}spec.{list}");
        let all = template.items_at(&["spec", list]).iter().enumerate();
        all.map(move |(i, container)| (format!("{place}[{i}]"), container))
    })
}

fn name(container: &Value) -> &str {
    container.str_at(&["name"]).unwrap_or_default()
}

fn fractions(container: &Value, place: &str) -> Vec<String> {
    let mut all = Vec::new();
    for resource in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            let amount = container.at(&["resources", list, resource]).and_then(quantity);
            let Some(amount) = amount.filter(|amount| !amount.is_whole()) else { continue };
            let amount = quote(&amount.to_string());
            let place = format!("{place}.resources.{list}[{resource}]");
            all.push(format!("{place}: fractional byte value {amount} is invalid, must be an integer"));
        }
    }
    all
}

/// Variables that hide another of their name, unless they are built upon it.
fn hidden(container: &Value, place: &str) -> Vec<String> {
    let variables = container.items_at(&["env"]);
    let mut all = Vec::new();
    for (i, variable) in variables.iter().enumerate() {
        let name = name(variable);
        let reference = format!("$({name})");
        let value = variable.str_at(&["value"]).unwrap_or_default();
        let builds = !is_set(variable, &["valueFrom"]) && value != reference && value.contains(&reference);
        if !builds && variables[..i].iter().any(|other| other.str_at(&["name"]) == Some(name)) {
            let name = quote(name);
            all.push(format!(
                "{place}.env[{i}]: hides previous definition of {name}, which may be dropped when using apply"
            ));
        }
    }
    all
}

struct Port<'a> {
    place: String,
    number: i64,
    protocol: &'a str,
    host: i64,
    ip: &'a str,
    name: &'a str,
}

fn ports(template: &Value, prefix: &str) -> Vec<String> {
    let mut seen: Vec<Port<'_>> = Vec::new();
    let mut all = Vec::new();
    for (place, container) in containers(template, prefix) {
        for (i, port) in container.items_at(&["ports"]).iter().enumerate() {
            let (number, text) = (|field| port.int_at(&[field]), |field| port.str_at(&[field]));
            let port = Port {
                place: format!("{place}.ports[{i}]"),
                number: number("containerPort").unwrap_or_default(),
                protocol: text("protocol").unwrap_or_default(),
                host: number("hostPort").unwrap_or_default(),
                ip: text("hostIP").unwrap_or_default(),
                name: text("name").unwrap_or_default(),
            };
            all.extend(port.unused_ip());
            all.extend(seen.iter().filter_map(|other| port.against(other)));
            seen.push(port);
        }
    }
    all
}

impl Port<'_> {
    /// The address of a host without a port there; the port is shown as Go shows a struct.
    fn unused_ip(&self) -> Option<String> {
        let Self { place, number, protocol, host, ip, name } = self;
        let shown = format!("{{Name:{name} HostPort:{host} ContainerPort:{number} Protocol:{protocol} HostIP:{ip}}}");
        (!ip.is_empty() && *host == 0).then(|| format!("{place}: hostIP set without hostPort: {shown}"))
    }

    fn against(&self, other: &Self) -> Option<String> {
        if (self.number, self.protocol) != (other.number, other.protocol) {
            return None;
        }
        let how = if (self.ip, self.host) == (other.ip, other.host) {
            "duplicate"
        } else if self.host == 0 || other.host == 0 {
            "overlapping"
        } else if self.host == other.host && self.ip.is_empty() != other.ip.is_empty() {
            "dangerously ambiguous"
        } else {
            return None;
        };
        Some(format!("{}: {how} port definition with {}", self.place, other.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn containers_of_a_pod() {
        let pod = value!({"spec": {
            "initContainers": [{"name": "i", "ports": [{"containerPort": 80, "hostPort": 8, "hostIP": "1.2.3.4"}]}],
            "containers": [{
                "name": "c",
                "resources": {"limits": {"memory": "0.5"}, "requests": {"memory": "0.5", "ephemeral-storage": "1.5"}},
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "A", "value": "$(A)2"},
                    {"name": "A", "value": "$(A)"},
                    {"name": "A", "valueFrom": {}},
                ],
                "ports": [
                    {"containerPort": 80, "hostPort": 8},
                    {"containerPort": 80, "hostIP": "1.2.3.4"},
                    {"containerPort": 81, "hostPort": 8},
                ],
            }],
        }});
        expect_test::expect![[r#"
            spec.containers[0].resources.limits[memory]: fractional byte value "500m" is invalid, must be an integer
            spec.containers[0].resources.requests[memory]: fractional byte value "500m" is invalid, must be an integer
            spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value "1500m" is invalid, must be an integer
            spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply
            spec.containers[0].env[3]: hides previous definition of "A", which may be dropped when using apply
            spec.containers[0].ports[0]: dangerously ambiguous port definition with spec.initContainers[0].ports[0]
            spec.containers[0].ports[1]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol: HostIP:1.2.3.4}
            spec.containers[0].ports[1]: overlapping port definition with spec.initContainers[0].ports[0]
            spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"#]]
        .assert_eq(&warnings(&pod, "").join("\n"));
    }
}
