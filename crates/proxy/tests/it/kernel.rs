//! The rules in a real kernel: a node and a client in network namespaces, pods as addresses with listeners.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use proxy::{Doors, Ruleset, Services, Transaction, apply, cleanup, diff, forget_connections, load, refresh, rules};
use serde_json::json;

use crate::objects::{put, put_slice, service, setting, slice};

/// A client, a node and two pods, each a network namespace; gone when dropped.
struct World {
    id: u32,
}

/// client 192.168.7.2 — node 192.168.7.1, 10.244.0.1 — pods 10.244.0.2 and 10.244.0.3, each on a link of its own.
const PLAN: &str = "
netns add node; netns add client; netns add pod2; netns add pod3
node: link set lo up
client: link set lo up
pod2: link set lo up
pod3: link set lo up
node: link add client type veth peer name node netns CLIENT
node: addr add 192.168.7.1/24 dev client
node: link set client up
client: addr add 192.168.7.2/24 dev node
client: link set node up
client: route add default via 192.168.7.1
node: route add default via 192.168.7.2
node: link add pod2 type veth peer name eth0 netns POD2
node: link add pod3 type veth peer name eth0 netns POD3
node: addr add 10.244.0.1/32 dev pod2
node: addr add 10.244.0.1/32 dev pod3
node: link set pod2 up
node: link set pod3 up
node: route add 10.244.0.2 dev pod2
node: route add 10.244.0.3 dev pod3
pod2: addr add 10.244.0.2/32 dev eth0
pod3: addr add 10.244.0.3/32 dev eth0
pod2: link set eth0 up
pod3: link set eth0 up
pod2: route add 10.244.0.1 dev eth0
pod3: route add 10.244.0.1 dev eth0
pod2: route add default via 10.244.0.1 dev eth0
pod3: route add default via 10.244.0.1 dev eth0";

impl World {
    fn new(id: u32) -> Self {
        let world = Self { id };
        world.remove();
        for line in PLAN.lines().flat_map(|line| line.split("; ")).filter(|line| !line.is_empty()) {
            let line = ["CLIENT", "POD2", "POD3"]
                .iter()
                .fold(line.to_owned(), |line, name| line.replace(name, &world.namespace(&name.to_lowercase())));
            match (line.strip_prefix("netns add "), line.split_once(": ")) {
                (Some(name), _) => world.ip(&["netns", "add", &world.namespace(name)]),
                (None, Some((at, rest))) => {
                    let namespace = world.namespace(at);
                    let arguments: Vec<&str> = ["-n", &namespace].into_iter().chain(rest.split(' ')).collect();
                    world.ip(&arguments);
                }
                (None, None) => unreachable!("a line of the plan"),
            }
        }
        world.inside("node", || {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            // The kernel is slow to refuse the same client again and again; the test need not wait for it.
            std::fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0").unwrap();
        });
        world
    }

    fn namespace(&self, name: &str) -> String {
        format!("cox-proxy-test-{}-{}-{name}", std::process::id(), self.id)
    }

    fn ip(&self, arguments: &[&str]) {
        let output = Command::new("ip").args(arguments).output().unwrap();
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs `work` in a thread inside a namespace.
    fn start<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let file = std::fs::File::open(format!("/run/netns/{}", self.namespace(name))).unwrap();
        std::thread::spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    fn inside<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.start(name, work).join().unwrap()
    }

    /// Brings a transaction in.
    fn apply(&self, transaction: Transaction, doors: Doors) {
        self.inside("node", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(apply(&transaction)).unwrap();
            forget_connections(&doors).unwrap();
        });
    }

    /// Whom a client reaches, asking `times` times.
    fn ask(&self, from: &str, target: &str, times: usize) -> String {
        let target: SocketAddr = target.parse().unwrap();
        self.inside(from, move || {
            // The kernel limits how often it refuses: who was refused once asks no more.
            let mut answers = vec![ask(target)];
            if answers[0].contains('<') {
                answers.extend((1..times).map(|_| ask(target)));
            }
            answers.sort();
            answers.dedup();
            answers.join(" ")
        })
    }

    fn remove(&self) {
        for name in ["node", "client", "pod2", "pod3"] {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(name)]).output();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ask(target: SocketAddr) -> String {
    let mut stream = match TcpStream::connect_timeout(&target, Duration::from_millis(700)) {
        Ok(stream) => stream,
        Err(error) => return format!("{:?}", error.kind()),
    };
    let mut answer = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.read_to_string(&mut answer).map_or_else(|error| format!("{:?}", error.kind()), |_| answer)
}

/// Listens at 8080 and tells every caller who is there and whom it sees, until the world's end.
fn listen(world: &World, pod: &'static str) {
    let (ready, listening) = std::sync::mpsc::sync_channel(1);
    drop(world.start(pod, move || {
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        ready.send(()).unwrap();
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = stream.write_all(format!("{pod}<{}", peer.ip()).as_bytes());
        }
    }));
    listening.recv().unwrap();
}

/// Rules, changed step by step.
struct Rules<'a> {
    world: &'a World,
    services: Services,
    installed: Option<Ruleset>,
}

impl<'a> Rules<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, services: Services::new(setting("192.168.7.1")), installed: None }
    }

    fn change(&mut self, change: impl FnOnce(&mut Services)) {
        change(&mut self.services);
        let dirty = self.services.take_dirty();
        let Some(installed) = &mut self.installed else {
            let rules = rules(&self.services);
            self.world.apply(load(&rules), Doors::all(&rules));
            self.installed = Some(rules);
            return;
        };
        let next = refresh(&self.services, installed, &dirty);
        self.world.apply(diff(installed, &next), Doors::changed(installed, &next));
        installed.commit(next);
    }
}

#[test]
fn services_are_reached() {
    let world = World::new(1);
    listen(&world, "pod2");
    listen(&world, "pod3");
    let mut rules = Rules::new(&world);
    rules.change(|s| {
        let more = json!({"type": "NodePort", "nodePort": 30080, "externalIPs": ["203.0.113.1"]});
        put(s, service("web", "10.96.0.10", "TCP", more));
    });
    let mut seen = String::new();
    let mut look = |title: &str, asks: &[(&str, &str)]| {
        writeln!(seen, "{title}").unwrap();
        for (from, target) in asks {
            writeln!(seen, "  {from} → {target}: {}", world.ask(from, target, 12)).unwrap();
        }
    };
    let doors = [
        ("client", "10.96.0.10:80"),
        ("client", "192.168.7.1:30080"),
        ("client", "203.0.113.1:80"),
        ("node", "10.96.0.10:80"),
        ("node", "192.168.7.1:30080"),
        ("pod2", "10.96.0.10:80"),
        ("pod2", "192.168.7.1:30080"),
    ];
    look("no endpoints", &doors);
    rules.change(|s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080@n1 10.244.0.3:8080@n1")));
    look("two endpoints", &doors);
    look(
        "a port that no service has",
        &[("client", "10.96.0.10:81"), ("node", "10.96.0.10:81"), ("pod2", "10.96.0.10:81")],
    );
    rules.change(|s| {
        let more = json!({"type": "NodePort", "nodePort": 30080, "externalTrafficPolicy": "Local"});
        put(s, service("web", "10.96.0.10", "TCP", more));
        put_slice(s, slice("web", "TCP", "10.244.0.2:8080@n1 10.244.0.3:8080@n2"));
    });
    look("only local endpoints for outsiders", &doors[..2]);
    rules.change(|s| put_slice(s, slice("web", "TCP", "10.244.0.3:8080@n2")));
    look("none local", &[doors[1], doors[4], doors[6]]);
    rules.change(|s| {
        put(s, service("web", "10.96.0.10", "TCP", json!({"sessionAffinity": "ClientIP"})));
        put_slice(s, slice("web", "TCP", "10.244.0.3:8080@n1"));
    });
    look("affinity, one endpoint", &doors[..1]);
    rules.change(|s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080@n1 10.244.0.3:8080@n1")));
    look("affinity stays", &doors[..1]);
    rules.change(|s| put_slice(s, slice("web", "TCP", "10.244.0.2:8080@n1")));
    look("affinity's endpoint is gone", &doors[..1]);
    rules.change(|s| s.set_service(&"default/web".into(), None));
    let left = world.inside("node", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(cleanup()).unwrap();
        runtime.block_on(cleanup()).unwrap();
        String::from_utf8(Command::new("nft").args(["list", "ruleset"]).output().unwrap().stdout).unwrap()
    });
    assert_eq!(left, "");
    expect_test::expect![[r#"
        no endpoints
          client → 10.96.0.10:80: ConnectionRefused
          client → 192.168.7.1:30080: ConnectionRefused
          client → 203.0.113.1:80: ConnectionRefused
          node → 10.96.0.10:80: ConnectionRefused
          node → 192.168.7.1:30080: ConnectionRefused
          pod2 → 10.96.0.10:80: ConnectionRefused
          pod2 → 192.168.7.1:30080: ConnectionRefused
        two endpoints
          client → 10.96.0.10:80: pod2<10.244.0.1 pod3<10.244.0.1
          client → 192.168.7.1:30080: pod2<10.244.0.1 pod3<10.244.0.1
          client → 203.0.113.1:80: pod2<10.244.0.1 pod3<10.244.0.1
          node → 10.96.0.10:80: pod2<10.244.0.1 pod3<10.244.0.1
          node → 192.168.7.1:30080: pod2<10.244.0.1 pod3<10.244.0.1
          pod2 → 10.96.0.10:80: pod2<10.244.0.1 pod3<10.244.0.2
          pod2 → 192.168.7.1:30080: pod2<10.244.0.1 pod3<10.244.0.1
        a port that no service has
          client → 10.96.0.10:81: ConnectionRefused
          node → 10.96.0.10:81: ConnectionRefused
          pod2 → 10.96.0.10:81: ConnectionRefused
        only local endpoints for outsiders
          client → 10.96.0.10:80: pod2<10.244.0.1 pod3<10.244.0.1
          client → 192.168.7.1:30080: pod2<192.168.7.2
        none local
          client → 192.168.7.1:30080: TimedOut
          node → 192.168.7.1:30080: pod3<10.244.0.1
          pod2 → 192.168.7.1:30080: pod3<10.244.0.2
        affinity, one endpoint
          client → 10.96.0.10:80: pod3<10.244.0.1
        affinity stays
          client → 10.96.0.10:80: pod3<10.244.0.1
        affinity's endpoint is gone
          client → 10.96.0.10:80: pod2<10.244.0.1
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_udp_client_leaves_an_endpoint_that_is_gone() {
    let world = World::new(2);
    for pod in ["pod2", "pod3"] {
        let (ready, listening) = std::sync::mpsc::sync_channel(1);
        drop(world.start(pod, move || {
            let socket = UdpSocket::bind("0.0.0.0:8080").unwrap();
            ready.send(()).unwrap();
            while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]) {
                let _ = socket.send_to(pod.as_bytes(), peer);
            }
        }));
        listening.recv().unwrap();
    }
    let mut rules = Rules::new(&world);
    rules.change(|s| {
        put(s, service("dns", "10.96.0.10", "UDP", json!({})));
        put_slice(s, slice("dns", "UDP", "10.244.0.2:8080@n1"));
    });
    let socket = world.inside("client", || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("10.96.0.10:80").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket
    });
    let ask = || {
        socket.send(b"who").unwrap();
        let mut buffer = [0; 64];
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    assert_eq!(ask(), "pod2");
    rules.change(|s| put_slice(s, slice("dns", "UDP", "10.244.0.2:8080@n1 10.244.0.3:8080@n1")));
    assert_eq!(ask(), "pod2", "a connection stays with an endpoint that stays");
    rules.change(|s| put_slice(s, slice("dns", "UDP", "10.244.0.3:8080@n1")));
    assert_eq!(ask(), "pod3");
}
