//! A node as a network namespace: plugins are called as a runtime calls them, and everything is removed again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use expect_test::expect;
use network::{Host, HostPort, Options, View, find_plugins, plan, remove};
use nix::sched::{CloneFlags, setns};

/// Network namespaces that are gone when dropped.
struct World;

impl World {
    fn namespace(name: &str) -> String {
        format!("cox-network-test-{}-{name}", std::process::id())
    }

    fn new() -> Self {
        for name in ["node", "outside", "p1", "p2"] {
            ip(&["netns", "add", &Self::namespace(name)]);
            ip(&["-n", &Self::namespace(name), "link", "set", "lo", "up"]);
        }
        let (node, outside) = (Self::namespace("node"), Self::namespace("outside"));
        ip(&["-n", &node, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", &outside]);
        for (namespace, address) in [(&node, "192.168.7.1/24"), (&outside, "192.168.7.2/24")] {
            ip(&["-n", namespace, "addr", "add", address, "dev", "up0"]);
            ip(&["-n", namespace, "link", "set", "up0", "up"]);
        }
        ip(&["-n", &node, "route", "add", "default", "via", "192.168.7.2"]);
        Self
    }

    fn start<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let file = std::fs::File::open(format!("/run/netns/{}", Self::namespace(name))).unwrap();
        std::thread::spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    fn inside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
        Self::start(name, work).join().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in ["node", "outside", "p1", "p2"] {
            let _ = Command::new("ip").args(["netns", "del", &Self::namespace(name)]).output();
        }
    }
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Calls the first plugin of the configuration, as a runtime would.
fn call(options: &Options, command: &'static str, pod: &'static str) {
    let dir = find_plugins(&options.plugin_dirs).unwrap().to_owned();
    let list = std::fs::read(options.conf_dir.join(network::CNI_CONFIG_FILE)).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let mut plugin = list["plugins"][0].clone();
    plugin["cniVersion"] = list["cniVersion"].clone();
    plugin["name"] = list["name"].clone();
    World::inside("node", move || {
        let mut child = Command::new(dir.join(plugin["type"].as_str().unwrap()))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", pod)
            .env("CNI_NETNS", format!("/run/netns/{}", World::namespace(pod)))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(plugin.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
}

/// Listens at 8080 and tells every caller who is there and whom it sees.
fn listen(name: &'static str) {
    let (ready, listening) = std::sync::mpsc::sync_channel(1);
    drop(World::start(name, move || {
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        ready.send(()).unwrap();
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = stream.write_all(format!("{name}<{}", peer.ip()).as_bytes());
        }
    }));
    listening.recv().unwrap();
}

fn ask(from: &str, target: &str) -> String {
    let to: SocketAddr = target.parse().unwrap();
    let answer = World::inside(from, move || {
        let mut answer = String::new();
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(1));
        match stream.and_then(|mut stream| stream.read_to_string(&mut answer)) {
            Ok(_) => answer,
            Err(error) => format!("{:?}", error.kind()),
        }
    });
    format!("{from} → {target}: {answer}\n")
}

#[test]
fn pods_are_networked_and_all_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new("n1", dir.path().join("state"));
    options.conf_dir = dir.path().join("conf");
    options.cluster_cidrs = vec!["10.244.0.0/16".parse().unwrap()];
    let _world = World::new();
    let host_port = |host_ip: Option<&str>, port| HostPort {
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        protocol: "tcp",
        host_port: port,
        pod_ip: "10.244.0.2".parse().unwrap(),
        container_port: 8080,
    };
    let view = View {
        pod_cidrs: vec!["10.244.0.0/24".parse().unwrap()],
        node_ips: ["192.168.7.1".parse().unwrap()].into(),
        host_ports: [host_port(None, 9090), host_port(Some("127.0.0.1"), 9091)].into(),
        ..View::default()
    };
    let settings = ["net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet"];
    let read = move || {
        World::inside("node", move || {
            settings.map(|name| std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap())
        })
    };
    World::inside("node", move || std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap());
    let before = read();

    let (options_, desired) = (options.clone(), plan(&view, &options));
    World::inside("node", move || {
        let mut host = Host::new(&options_.conf_dir, &options_.state_dir);
        block_on(host.make(desired.clone())).unwrap();
        block_on(host.make(desired.clone())).unwrap();
        // A process that starts again finds its own things.
        block_on(Host::new(&options_.conf_dir, &options_.state_dir).make(desired)).unwrap();
    });
    for pod in ["p1", "p2"] {
        call(&options, "ADD", pod);
        listen(pod);
    }
    listen("outside");
    let seen = [
        ask("p1", "10.244.0.3:8080"),
        ask("node", "10.244.0.3:8080"),
        ask("p1", "192.168.7.2:8080"),
        ask("outside", "192.168.7.1:9090"),
        ask("node", "192.168.7.1:9090"),
        ask("node", "127.0.0.1:9090"),
        ask("node", "127.0.0.1:9091"),
        ask("outside", "192.168.7.1:9091"),
        ask("p2", "192.168.7.1:9090"),
        ask("p1", "192.168.7.1:9090"),
    ];
    expect![[r#"
        p1 → 10.244.0.3:8080: p2<10.244.0.2
        node → 10.244.0.3:8080: p2<10.244.0.1
        p1 → 192.168.7.2:8080: outside<192.168.7.1
        outside → 192.168.7.1:9090: p1<192.168.7.2
        node → 192.168.7.1:9090: p1<192.168.7.1
        node → 127.0.0.1:9090: p1<10.244.0.1
        node → 127.0.0.1:9091: p1<10.244.0.1
        outside → 192.168.7.1:9091: ConnectionRefused
        p2 → 192.168.7.1:9090: p1<10.244.0.3
        p1 → 192.168.7.1:9090: p1<10.244.0.1
    "#]]
    .assert_eq(&seen.concat());

    call(&options, "DEL", "p1");
    // p2 is left to `remove`, as after a crash.
    let options_ = options.clone();
    let left = World::inside("node", move || {
        block_on(remove(&options_)).unwrap();
        block_on(remove(&options_)).unwrap();
        let nft = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        let links = ip(&["-br", "link"]);
        let links: Vec<&str> = links.lines().filter_map(|line| line.split(['@', ' ']).next()).collect();
        format!("{}{links:?}\n{}", String::from_utf8_lossy(&nft.stdout), ip(&["route"]))
    });
    expect![[r#"
        ["lo", "up0"]
        default via 192.168.7.2 dev up0 
        192.168.7.0/24 dev up0 proto kernel scope link src 192.168.7.1 
    "#]]
    .assert_eq(&left);
    assert_eq!(read(), before);
    let files = |dir: &std::path::Path| std::fs::read_dir(dir).map_or(0, Iterator::count);
    assert_eq!((files(&options.conf_dir), files(&options.state_dir)), (0, 0));
}
