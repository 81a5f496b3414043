//! A pod's host name and the hosts file that its containers share.

use k8s_openapi::api::core::v1::Pod;

use super::spec;

/// The kernel's limit of a host name.
const HOSTNAME_LIMIT: usize = 63;

/// The pod's host name and, if it has a subdomain, its domain.
#[must_use]
pub fn hostname_and_domain(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let pod_spec = spec::spec(pod);
    if let Some(name) = pod_spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (name.to_owned(), String::new());
    }
    let own = pod_spec.hostname.as_deref().filter(|name| !name.is_empty());
    let name = own.unwrap_or_else(|| spec::name(pod));
    let cut = name.get(..HOSTNAME_LIMIT).unwrap_or(name).trim_end_matches(['-', '.']);
    let domain = pod_spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty());
    let domain = domain.map(|subdomain| format!("{subdomain}.{}.svc.{cluster_domain}", spec::namespace(pod)));
    (cut.to_owned(), domain.unwrap_or_default())
}

/// What the sandbox calls itself: nothing with the node's network.
#[must_use]
pub fn sandbox_hostname(pod: &Pod, cluster_domain: &str) -> String {
    if spec::host_network(pod) && spec::spec(pod).hostname_override.is_none() {
        return String::new();
    }
    let (name, domain) = hostname_and_domain(pod, cluster_domain);
    let full = spec::spec(pod).set_hostname_as_fqdn.unwrap_or(false) && !domain.is_empty();
    if full { format!("{name}.{domain}") } else { name }
}

/// The text of the hosts file. `node` is the node's own, for pods with the node's network.
#[must_use]
pub fn hosts(pod: &Pod, ips: &[String], cluster_domain: &str, node: &str) -> String {
    let mut text = if spec::host_network(pod) {
        format!("# Kubernetes-managed hosts file (host network).\n{node}")
    } else {
        of_pod(pod, ips, cluster_domain)
    };
    let aliases = spec::spec(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t")));
    }
    text
}

fn of_pod(pod: &Pod, ips: &[String], cluster_domain: &str) -> String {
    let (name, domain) = hostname_and_domain(pod, cluster_domain);
    let mut text = "# Kubernetes-managed hosts file.\n".to_owned();
    for (address, names) in [
        ("127.0.0.1", "localhost"),
        ("::1", "localhost ip6-localhost ip6-loopback"),
        ("fe00::0", "ip6-localnet"),
        ("fe00::0", "ip6-mcastprefix"),
        ("fe00::1", "ip6-allnodes"),
        ("fe00::2", "ip6-allrouters"),
    ] {
        text.push_str(&format!("{address}\t{names}\n"));
    }
    for ip in ips {
        let full = if domain.is_empty() { String::new() } else { format!("{name}.{domain}\t") };
        text.push_str(&format!("{ip}\t{full}{name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_finds_itself_and_its_aliases() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-0", "namespace": "shop"},
            "spec": {"subdomain": "web", "containers": [], "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["a", "b"]}]}
        }))
        .unwrap();
        let text = hosts(&pod, &["10.0.0.2".into()], "cluster.local", "");
        let end =
            "10.0.0.2\tweb-0.web.shop.svc.cluster.local\tweb-0\n\n# Entries added by HostAliases.\n192.0.2.9\ta\tb\n";
        assert!(
            text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n") && text.ends_with(end),
            "{text}"
        );
        assert_eq!(sandbox_hostname(&pod, "cluster.local"), "web-0");
    }
}
