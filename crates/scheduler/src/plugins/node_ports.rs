//! `NodePorts`: two pods cannot take one port of a node.

use super::{BASE, Plugin, Prepared, Rejection};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub const PLUGIN: Plugin = Plugin {
    name: "NodePorts",
    prepare: Some(|cycle| if cycle.pod.host_ports.is_empty() { Prepared::Skip } else { Prepared::Ask }),
    filter: Some(filter),
    helps,
    ..BASE
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    if clash(cycle.pod, &node.host_ports) {
        return Err(Rejection::crowded("node(s) didn't have free ports for the requested pod ports"));
    }
    Ok(())
}

fn clash(pod: &PodInfo, taken: &[crate::pod::HostPort]) -> bool {
    pod.host_ports.iter().any(|wanted| taken.iter().any(|port| port.conflicts(wanted)))
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    match change {
        Change::NodeAdded(_) | Change::PodUpdated => true,
        Change::PodLeft(left) => clash(pod, &left.host_ports),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::snapshot::Snapshot;
    use crate::testing::{named, node, pod, verdicts};

    fn wants(port: u16, address: &str, protocol: &str) -> String {
        format!(
            r#"{{"containers":[{{"name":"c","ports":[{{"containerPort":1,"hostPort":{port},"hostIP":"{address}",
               "protocol":"{protocol}"}}]}}]}}"#
        )
    }

    #[test]
    fn conflicts() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "1", "1Gi"));
        snapshot.set_pod("n", named("q", &wants(80, "127.0.0.1", "TCP")));
        for (port, address, protocol, fits) in [
            (80, "127.0.0.1", "TCP", false),
            (80, "", "TCP", false),
            (80, "127.0.0.2", "TCP", true),
            (80, "127.0.0.1", "UDP", true),
            (81, "", "TCP", true),
        ] {
            let verdict = verdicts(&snapshot, &pod(&wants(port, address, protocol)));
            assert_eq!(verdict == "n: ok\n", fits, "{port} {address} {protocol}: {verdict}");
        }
    }
}
