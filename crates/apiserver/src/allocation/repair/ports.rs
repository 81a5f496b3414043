//! Node ports: what services have is noted, and nothing else for long.

use std::collections::{BTreeMap, HashMap};

use machinery::Status;

use super::events::{About, Event, Events};
use crate::ApiServer;
use crate::allocation::bitmap::Bitmap;
use crate::allocation::ports;

/// A port that nobody has is given back when so many looks in a row found it so: a service may be on its way.
const LOOKS: u32 = 3;

/// Who says so in events.
const SOURCE: &str = "portallocator-repair-controller";

/// Ports that nobody has, and how many more looks they have.
pub type Leaks = HashMap<u16, u32>;

/// Looks once and sets right what it finds.
///
/// # Errors
/// When the store does not answer.
pub async fn repair(server: &ApiServer, events: &mut Events, leaks: &mut Leaks) -> Result<(), Status> {
    loop {
        let seen = ports::read(&server.server).await?;
        // A port is given back after its service is gone, so services are looked at after the ports.
        server.server.cacher.catch_up().await?;
        let services: BTreeMap<String, Vec<u16>> = {
            let known = server.server.allocator.known.lock();
            let with_ports = known.services.iter().filter(|(_, share)| !share.ports.is_empty());
            with_ports.map(|(key, share)| (key.clone(), share.ports.clone())).collect()
        };
        let plan = plan(&seen.bitmap, &services, leaks);
        // Nothing is written down before there is something to write.
        let is_done = plan.bitmap == seen.bitmap && (services.is_empty() || !seen.is_new());
        if is_done || ports::replace(&server.server, &seen, plan.bitmap).await? {
            *leaks = plan.leaks;
            let metrics = &server.server.allocator.metrics;
            metrics.ports_leaked(leaks.len());
            for event in &plan.events {
                metrics.port_repaired(event);
                events.tell(server, SOURCE, event).await;
            }
            return Ok(());
        }
    }
}

/// What should be.
#[derive(Debug, PartialEq)]
struct Plan {
    bitmap: Bitmap,
    leaks: Leaks,
    events: Vec<Event>,
}

fn plan(stored: &Bitmap, services: &BTreeMap<String, Vec<u16>>, leaks: &Leaks) -> Plan {
    let range = stored.range();
    let mut plan = Plan { bitmap: Bitmap::of(range, []), leaks: Leaks::default(), events: Vec::new() };
    for (key, port) in services.iter().flat_map(|(key, ports)| ports.iter().map(move |port| (key, *port))) {
        let (reason, note) = if !range.contains(port) {
            ("PortOutOfRange", format!("Port {port} is not within the port range {range}; please recreate service"))
        } else if !plan.bitmap.take(port) {
            ("PortAlreadyAllocated", format!("Port {port} was assigned to multiple services; please recreate service"))
        } else if !stored.contains(port) {
            ("PortNotAllocated", format!("Port {port} is not allocated; repairing"))
        } else {
            continue;
        };
        plan.events.push(Event { about: About::Service(key.clone()), reason, action: "", note });
    }
    let mut unused: Vec<u16> = stored.ports().filter(|port| !plan.bitmap.contains(*port)).collect();
    unused.retain(|port| leaks.get(port).is_none_or(|left| *left > 0));
    for port in unused {
        let left = leaks.get(&port).copied().unwrap_or(LOOKS - 1);
        plan.leaks.insert(port, left.saturating_sub(1));
        plan.bitmap.take(port);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::port_range::PortRange;

    fn show(plan: &Plan) -> String {
        let ports: Vec<u16> = plan.bitmap.ports().collect();
        let events: Vec<String> =
            plan.events.iter().map(|e| format!("{:?} {} {}", e.about, e.reason, e.note)).collect();
        format!("{ports:?}\n{}", events.join("\n"))
    }

    #[test]
    fn services_have_their_ports() {
        let services = [("a/s", vec![30_001, 30_002]), ("a/t", vec![30_002, 80])];
        let services = services.map(|(key, ports)| (key.to_owned(), ports)).into();
        let plan = plan(&Bitmap::of(PortRange::NODE_PORTS, [30_001]), &services, &Leaks::default());
        expect_test::expect![[r#"
            [30001, 30002]
            Service("a/s") PortNotAllocated Port 30002 is not allocated; repairing
            Service("a/t") PortAlreadyAllocated Port 30002 was assigned to multiple services; please recreate service
            Service("a/t") PortOutOfRange Port 80 is not within the port range 30000-32767; please recreate service"#]]
        .assert_eq(&show(&plan));
    }

    #[test]
    fn leaked_ports_are_given_back_after_a_while() {
        let mut leaks = Leaks::default();
        let looks: Vec<bool> = (0..3)
            .map(|_| {
                let plan = plan(&Bitmap::of(PortRange::NODE_PORTS, [30_001]), &BTreeMap::new(), &leaks);
                leaks = plan.leaks;
                plan.bitmap.contains(30_001)
            })
            .collect();
        assert_eq!(looks, [true, true, false]);
    }
}
