//! `NodePorts`: two pods cannot take one port of a node.

use super::{BASE, Change, Plugin, Rejection};
use crate::snapshot::{NodeInfo, PodInfo};

pub const PLUGIN: Plugin = Plugin {
    name: "NodePorts",
    filter: Some(filter),
    wakes: &[Change::NodeAdded, Change::PodLeft, Change::PodUpdated],
    ..BASE
};

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let taken = |wanted| node.pods.values().flat_map(|p| &p.host_ports).any(|port| port.conflicts(wanted));
    if pod.host_ports.iter().any(taken) {
        let reason = "node(s) didn't have free ports for the requested pod ports";
        return Err(Rejection::crowded(vec![reason.to_owned()]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, node, pod};

    fn wants(port: u16, address: &str, protocol: &str) -> String {
        format!(
            r#"{{"containers":[{{"name":"c","ports":[{{"containerPort":1,"hostPort":{port},"hostIP":"{address}",
               "protocol":"{protocol}"}}]}}]}}"#
        )
    }

    #[test]
    fn conflicts() {
        let mut here = info(node("n", "1", "1Gi"));
        here.add("a/q".into(), pod(&wants(80, "127.0.0.1", "TCP")));
        for (port, address, protocol, fits) in [
            (80, "127.0.0.1", "TCP", false),
            (80, "", "TCP", false),
            (80, "127.0.0.2", "TCP", true),
            (80, "127.0.0.1", "UDP", true),
            (81, "", "TCP", true),
        ] {
            assert_eq!(
                filter(&pod(&wants(port, address, protocol)), &here).is_ok(),
                fits,
                "{port} {address} {protocol}"
            );
        }
    }
}
