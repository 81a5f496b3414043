//! A container's environment: services, config maps, secrets, fields of the pod, in upstream's order of precedence.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, Pod, Secret, Service};

use super::downward::{self, Addresses};
use super::expand::expand;
use super::spec;
use crate::quantity::Resources;

/// What an environment may be made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The config maps that the pod names and that exist, by name.
    pub config_maps: BTreeMap<String, Arc<ConfigMap>>,
    /// The secrets that the pod names and that exist, by name.
    pub secrets: BTreeMap<String, Arc<Secret>>,
    /// Services of the pod's namespace, and `kubernetes` of `default`.
    pub services: Vec<Arc<Service>>,
    /// The pod's and the node's addresses.
    pub addresses: Addresses,
    /// What the node offers: the limits of a container without limits.
    pub allocatable: Resources,
}

/// Why a container's environment cannot be made; the message of `CreateContainerConfigError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EnvironmentError(pub String);

type Variables = BTreeMap<String, String>;

/// The variables of `container`, by name.
///
/// # Errors
/// When a source that is not optional is missing.
pub fn environment(pod: &Pod, container: &Container, sources: &Sources) -> Result<Variables, EnvironmentError> {
    let mut variables = service_variables(pod, &sources.services);
    for from in container.env_from.iter().flatten() {
        add_all(from, sources, &mut variables)?;
    }
    // A variable may refer to those before it, not to itself or those after.
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, variable, sources, &variables)? {
            variables.insert(variable.name.clone(), value);
        }
    }
    Ok(variables)
}

fn add_all(from: &EnvFromSource, sources: &Sources, variables: &mut Variables) -> Result<(), EnvironmentError> {
    let prefix = from.prefix.as_deref().unwrap_or_default();
    if let Some(source) = &from.config_map_ref {
        let Some(map) = sources.config_maps.get(&source.name) else {
            return absent("configmap", &source.name, source.optional);
        };
        let data = map.data.iter().flatten();
        variables.extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
    }
    if let Some(source) = &from.secret_ref {
        let Some(secret) = sources.secrets.get(&source.name) else {
            return absent("secret", &source.name, source.optional);
        };
        let data = secret.data.iter().flatten();
        variables.extend(data.map(|(key, value)| (format!("{prefix}{key}"), text(&value.0))));
    }
    Ok(())
}

fn value(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    sources: &Sources,
    known: &Variables,
) -> Result<Option<String>, EnvironmentError> {
    let Some(from) = &variable.value_from else {
        let plain = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(plain, |name| known.get(name).map(String::as_str))));
    };
    value_from(pod, container, from, sources)
}

fn value_from(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources,
) -> Result<Option<String>, EnvironmentError> {
    if let Some(field) = &from.field_ref {
        return downward::field(pod, &field.field_path, &sources.addresses).map(Some).map_err(EnvironmentError);
    }
    if let Some(resource) = &from.resource_field_ref {
        let target = resource.container_name.as_deref().and_then(|name| spec::container(pod, name));
        let container = target.map_or(container, |(_, container)| container);
        let divisor = resource.divisor.as_ref();
        let amount = downward::resource(container, &resource.resource, divisor, &sources.allocatable);
        return amount.map(Some).map_err(EnvironmentError);
    }
    if let Some(key) = &from.config_map_key_ref {
        let Some(map) = sources.config_maps.get(&key.name) else {
            return absent("configmap", &key.name, key.optional).map(|()| None);
        };
        let found = map.data.as_ref().and_then(|data| data.get(&key.key)).cloned();
        return present(found, key.optional, || key_message(&key.key, "ConfigMap", pod, &key.name));
    }
    if let Some(key) = &from.secret_key_ref {
        let Some(secret) = sources.secrets.get(&key.name) else {
            return absent("secret", &key.name, key.optional).map(|()| None);
        };
        let found = secret.data.as_ref().and_then(|data| data.get(&key.key)).map(|bytes| text(&bytes.0));
        return present(found, key.optional, || key_message(&key.key, "Secret", pod, &key.name));
    }
    Err(EnvironmentError("the source of an environment variable is not supported".to_owned()))
}

fn absent(kind: &str, name: &str, optional: Option<bool>) -> Result<(), EnvironmentError> {
    if optional == Some(true) {
        return Ok(());
    }
    Err(EnvironmentError(format!("{kind} \"{name}\" not found")))
}

fn present(
    found: Option<String>,
    optional: Option<bool>,
    message: impl FnOnce() -> String,
) -> Result<Option<String>, EnvironmentError> {
    if found.is_some() || optional == Some(true) {
        return Ok(found);
    }
    Err(EnvironmentError(message()))
}

fn key_message(key: &str, kind: &str, pod: &Pod, name: &str) -> String {
    format!("couldn't find key {key} in {kind} {}/{name}", spec::namespace(pod))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `REDIS_SERVICE_HOST` and its like, for every service with a cluster address.
fn service_variables(pod: &Pod, services: &[Arc<Service>]) -> Variables {
    let mut variables = Variables::new();
    let links = spec::spec(pod).enable_service_links.unwrap_or(true);
    for service in services {
        let (name, namespace) = (service.metadata.name.as_deref(), service.metadata.namespace.as_deref());
        let is_master = (name, namespace) == (Some("kubernetes"), Some("default"));
        if is_master || links && namespace == Some(spec::namespace(pod)) {
            add_service(service, &mut variables);
        }
    }
    variables
}

fn add_service(service: &Service, variables: &mut Variables) {
    let Some(service_spec) = &service.spec else { return };
    let ip = service_spec.cluster_ip.as_deref().unwrap_or_default();
    let ports = service_spec.ports.as_deref().unwrap_or_default();
    let (false, Some(first)) = (ip.is_empty() || ip == "None", ports.first()) else { return };
    let name = shell_name(service.metadata.name.as_deref().unwrap_or_default());
    let url = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        format!("{protocol}://{host}:{}", port.port)
    };
    variables.insert(format!("{name}_SERVICE_HOST"), ip.to_owned());
    variables.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
    variables.insert(format!("{name}_PORT"), url(first));
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.insert(format!("{name}_SERVICE_PORT_{}", shell_name(port_name)), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let prefix = format!("{name}_PORT_{}_{protocol}", port.port);
        variables.insert(format!("{prefix}_PROTO"), protocol.to_lowercase());
        variables.insert(format!("{prefix}_PORT"), port.port.to_string());
        variables.insert(format!("{prefix}_ADDR"), ip.to_owned());
        variables.insert(prefix, url(port));
    }
}

fn shell_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn show(container: serde_json::Value, sources: &Sources) -> String {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "node", "containers": [container]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        match environment(&pod, &spec::spec(&pod).containers[0], sources) {
            Ok(variables) => variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn variables_of_all_sources() {
        let map: ConfigMap = serde_json::from_value(json!({"data": {"a": "1", "b": "2"}})).unwrap();
        let service = json!({"metadata": {"name": "my-db", "namespace": "n"},
            "spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}});
        let sources = Sources {
            config_maps: [("map".to_owned(), Arc::new(map))].into(),
            services: vec![Arc::new(serde_json::from_value(service).unwrap())],
            ..Sources::default()
        };
        let container = json!({"name": "c",
        "envFrom": [{"prefix": "M_", "configMapRef": {"name": "map"}}, {"secretRef": {"name": "none", "optional": true}}],
        "env": [
            {"name": "PLAIN", "value": "$(M_a)-$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "b"}}},
        ]});
        expect![[r#"
            KEY=2
            LATER=x
            MY_DB_PORT=tcp://10.96.0.5:5432
            MY_DB_PORT_5432_TCP=tcp://10.96.0.5:5432
            MY_DB_PORT_5432_TCP_ADDR=10.96.0.5
            MY_DB_PORT_5432_TCP_PORT=5432
            MY_DB_PORT_5432_TCP_PROTO=tcp
            MY_DB_SERVICE_HOST=10.96.0.5
            MY_DB_SERVICE_PORT=5432
            MY_DB_SERVICE_PORT_SQL=5432
            M_a=1
            M_b=2
            NODE=node
            PLAIN=1-$(LATER)
        "#]]
        .assert_eq(&show(container, &sources));
    }

    #[test]
    fn missing_sources() {
        let from = |source| json!({"name": "c", "env": [{"name": "A", "valueFrom": source}]});
        let map = json!({"configMapKeyRef": {"name": "map", "key": "k"}});
        assert_eq!(show(from(map.clone()), &Sources::default()), "configmap \"map\" not found");
        let sources =
            Sources { config_maps: [("map".to_owned(), Arc::new(ConfigMap::default()))].into(), ..Sources::default() };
        assert_eq!(show(from(map), &sources), "couldn't find key k in ConfigMap n/map");
    }
}
