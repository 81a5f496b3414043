//! Which servers know the names outside the cluster.

use std::net::{IpAddr, SocketAddr};

use crate::{Options, Upstream};

/// resolv.conf names at most three servers that count (resolv.conf(5)); more are accepted up to this.
const MAX_SERVERS: usize = 15;

/// The servers to ask, in order, without this one itself: a question must not go in circles.
pub(crate) fn servers(options: &Options) -> Vec<SocketAddr> {
    let mut servers = match &options.upstream {
        Upstream::Servers(servers) => servers.clone(),
        Upstream::ResolvConf(path) => nameservers(&std::fs::read_to_string(path).unwrap_or_default()),
    };
    servers.retain(|server| !options.listen.contains(server) && !is_cluster_ip(options, *server));
    servers.truncate(MAX_SERVERS);
    servers
}

fn is_cluster_ip(options: &Options, server: SocketAddr) -> bool {
    options.cluster_ip == Some(server.ip())
}

/// The `nameserver` lines of a resolv.conf.
#[must_use]
pub fn nameservers(resolv_conf: &str) -> Vec<SocketAddr> {
    let lines = resolv_conf.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut words| (words.next() == Some("nameserver")).then(|| words.next())?)
        .filter_map(|address| address.split('%').next()?.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_circles_left_out() {
        let text =
            "# c\nsearch a b\nnameserver 10.96.0.10\nnameserver  192.0.2.1 \nnameserver fe80::1%eth0\nnameserver x\n";
        let read: Vec<String> = nameservers(text).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.96.0.10:53", "192.0.2.1:53", "[fe80::1]:53"]);
        let mut options = Options::new(vec!["192.0.2.1:53".parse().unwrap()]);
        options.cluster_ip = Some("10.96.0.10".parse().unwrap());
        options.upstream = Upstream::Servers(nameservers(text));
        assert_eq!(servers(&options), ["[fe80::1]:53".parse().unwrap()]);
    }
}
