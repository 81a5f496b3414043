//! The downward API: fields of the pod and amounts of its containers, as text for variables and files.

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::spec;
use crate::quantity::{self, Resources};

/// The addresses that only the node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The pod's.
    pub pod: Vec<String>,
    /// The node's.
    pub host: Vec<String>,
}

/// The text of a field of the pod.
///
/// # Errors
/// When there is no such field, in upstream's words.
pub fn field(pod: &Pod, path: &str, addresses: &Addresses) -> Result<String, String> {
    if let Some((map, key)) = path.split_once("['").and_then(|(map, rest)| Some((map, rest.strip_suffix("']")?))) {
        let map = match map {
            "metadata.labels" => &pod.metadata.labels,
            "metadata.annotations" => &pod.metadata.annotations,
            _ => return Err(unsupported(path)),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let pod_spec = spec::spec(pod);
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => spec::name(pod).to_owned(),
        "metadata.namespace" => spec::namespace(pod).to_owned(),
        "metadata.uid" => spec::uid(pod).to_owned(),
        "metadata.labels" => lines(pod.metadata.labels.as_ref()),
        "metadata.annotations" => lines(pod.metadata.annotations.as_ref()),
        "spec.nodeName" => pod_spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => pod_spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&addresses.host),
        "status.hostIPs" => addresses.host.join(","),
        "status.podIP" => first(&addresses.pod),
        "status.podIPs" => addresses.pod.join(","),
        _ => return Err(unsupported(path)),
    })
}

/// An amount of a container, divided and rounded up; without a limit, what the node offers.
///
/// # Errors
/// When there is no such resource, in upstream's words.
pub fn resource(
    container: &Container,
    name: &str,
    divisor: Option<&Quantity>,
    allocatable: &Resources,
) -> Result<String, String> {
    let unsupported = || format!("unsupported container resource : {name}");
    let (kind, resource) = name.split_once('.').ok_or_else(unsupported)?;
    let resources = container.resources.as_ref();
    let (asked, fallback) = match kind {
        "limits" => (resources.and_then(|resources| resources.limits.as_ref()), Some(allocatable)),
        "requests" => (resources.and_then(|resources| resources.requests.as_ref()), None),
        _ => return Err(unsupported()),
    };
    let known = matches!(resource, "cpu" | "memory" | "ephemeral-storage") || resource.starts_with("hugepages-");
    if !known {
        return Err(unsupported());
    }
    let divisor = divisor.map(|divisor| Resources::from([(resource.to_owned(), divisor.clone())]));
    let amount = |of: fn(Option<&Resources>, &str) -> Option<i64>| {
        let divisor = of(divisor.as_ref(), resource).filter(|divisor| *divisor > 0);
        (of(asked, resource).or_else(|| of(fallback, resource)).unwrap_or(0), divisor)
    };
    let (amount, divisor) = if resource == "cpu" { amount(quantity::milli) } else { amount(quantity::value) };
    let whole = if resource == "cpu" { 1000 } else { 1 };
    let divisor = divisor.unwrap_or(whole);
    Ok((amount / divisor + i64::from(amount % divisor != 0)).to_string())
}

fn unsupported(path: &str) -> String {
    format!("unsupported fieldPath: {path}")
}

/// `key="value"` lines, sorted by key, with values quoted as Go's `%q` quotes them.
fn lines(map: Option<&std::collections::BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_resources() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "labels": {"b": "2", "a": "1"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "100M"}}}]}
        }))
        .unwrap();
        let addresses = Addresses { pod: vec!["10.0.0.2".into()], host: vec!["192.0.2.1".into(), "fd00::1".into()] };
        let cases = [
            ("metadata.name", Ok("p")),
            ("metadata.labels['a']", Ok("1")),
            ("metadata.labels['z']", Ok("")),
            ("metadata.labels", Ok("a=\"1\"\nb=\"2\"")),
            ("status.hostIPs", Ok("192.0.2.1,fd00::1")),
            ("status.podIP", Ok("10.0.0.2")),
            ("spec.color", Err("unsupported fieldPath: spec.color")),
        ];
        for (path, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(field(&pod, path, &addresses), expected, "{path}");
        }
        let allocatable = Resources::from([("memory".to_owned(), Quantity("8Gi".into()))]);
        let container = &spec::spec(&pod).containers[0];
        let one = |name: &str, divisor: Option<&str>| {
            resource(container, name, divisor.map(|text| Quantity(text.into())).as_ref(), &allocatable).unwrap()
        };
        assert_eq!(one("limits.cpu", None), "2");
        assert_eq!(one("limits.cpu", Some("1m")), "1500");
        assert_eq!(one("requests.memory", Some("1Mi")), "96");
        assert_eq!(one("limits.memory", Some("1Gi")), "8");
    }
}
