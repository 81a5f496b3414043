//! The resolv.conf of a pod: cluster DNS, the node's, or the pod's own words.

use k8s_openapi::api::core::v1::Pod;

use super::spec;
use crate::proto::cri::DnsConfig;

/// What the node knows about DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeDns {
    /// Addresses of the cluster's DNS.
    pub cluster_dns: Vec<String>,
    /// The cluster's domain, `cluster.local`.
    pub cluster_domain: String,
    /// The node's own resolv.conf.
    pub host: DnsConfig,
}

/// Upstream's limits (KEP-2595).
const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;

/// What the pod's resolv.conf says.
#[must_use]
pub fn resolver(pod: &Pod, node: &NodeDns) -> DnsConfig {
    let policy = spec::spec(pod).dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !spec::host_network(pod),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut config = match policy {
        "None" => DnsConfig::default(),
        _ if cluster && !node.cluster_dns.is_empty() => from_cluster(pod, node),
        _ => node.host.clone(),
    };
    if let Some(own) = &spec::spec(pod).dns_config {
        merge(&mut config.servers, own.nameservers.as_deref().unwrap_or_default());
        merge(&mut config.searches, own.searches.as_deref().unwrap_or_default());
        for option in own.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            config.options.retain(|known| known.split(':').next() != Some(name));
            config.options.push(option.value.as_ref().map_or(name.clone(), |value| format!("{name}:{value}")));
        }
    }
    fit(config)
}

fn from_cluster(pod: &Pod, node: &NodeDns) -> DnsConfig {
    let (namespace, domain) = (spec::namespace(pod), &node.cluster_domain);
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    }
    merge(&mut searches, &node.host.searches);
    DnsConfig { servers: node.cluster_dns.clone(), searches, options: vec!["ndots:5".to_owned()] }
}

fn merge(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn fit(mut config: DnsConfig) -> DnsConfig {
    config.servers.truncate(MAX_SERVERS);
    config.searches.truncate(MAX_SEARCHES);
    let mut length = 0;
    config.searches.retain(|search| {
        length += search.len() + usize::from(length > 0);
        length <= MAX_SEARCH_CHARACTERS
    });
    config
}

/// Reads a resolv.conf.
#[must_use]
pub fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(keyword) = words.next() else { continue };
        let rest = words.map(|word| word.trim_end_matches('.').to_owned());
        match keyword {
            "nameserver" => config.servers.extend(rest.take(1)),
            // The last one counts, as for the C library.
            "search" => config.searches = rest.collect(),
            "options" => config.options = rest.collect(),
            _ => {}
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn by_policy() {
        let node = NodeDns {
            cluster_dns: vec!["10.96.0.10".into()],
            cluster_domain: "cluster.local".into(),
            host: parse("# host\nnameserver 192.0.2.53\nsearch example.com.\noptions edns0\n"),
        };
        let own = json!({"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]});
        let cases = [
            (json!({}), "10.96.0.10 | n.svc.cluster.local svc.cluster.local cluster.local example.com | ndots:5"),
            (json!({"hostNetwork": true}), "192.0.2.53 | example.com | edns0"),
            (json!({"dnsPolicy": "Default"}), "192.0.2.53 | example.com | edns0"),
            (json!({"dnsPolicy": "None", "dnsConfig": own.clone()}), "1.1.1.1 |  | ndots:2 rotate"),
            (
                json!({"dnsConfig": own}),
                "10.96.0.10 1.1.1.1 | n.svc.cluster.local svc.cluster.local cluster.local example.com | ndots:2 rotate",
            ),
        ];
        for (mut pod_spec, expected) in cases {
            pod_spec["containers"] = json!([]);
            let pod = serde_json::from_value(json!({"metadata": {"namespace": "n"}, "spec": pod_spec})).unwrap();
            let found = resolver(&pod, &node);
            let shown = [found.servers, found.searches, found.options].map(|list| list.join(" ")).join(" | ");
            assert_eq!(shown, expected);
        }
    }
}
