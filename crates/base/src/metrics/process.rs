//! What the kernel knows of this process, under the names of Prometheus' own libraries.

use std::fs;

use super::family::{About, Family, Sample, Shape, Stability, Value, beta};

/// Of the kernel's times in `/proc`; the same on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// `families` and what is told of every process: `build` says which one it is, then what it uses, and how many
/// families there are.
#[must_use]
pub fn with_process(mut families: Vec<Family>, build: Family) -> Vec<Family> {
    families.push(build);
    families.push(registered(&families));
    families.extend(process());
    families
}

/// How many families there are of each stability level. This one is not in `families` yet.
#[allow(clippy::cast_precision_loss, reason = "there are some hundred families")]
fn registered(families: &[Family]) -> Family {
    const ABOUT: About = beta("registered_metrics_total", "Families of metrics, by their stability.");
    let count = |level: Stability| {
        let of_level = families.iter().filter(|family| family.about.stability == Some(level)).count();
        of_level + usize::from(ABOUT.stability == Some(level))
    };
    let samples = [Stability::Alpha, Stability::Beta, Stability::Stable].map(|level| Sample {
        labels: vec![String::new(), level.word().to_owned()],
        value: Value::Number(count(level) as f64),
    });
    let labels = vec!["deprecated_version", "stability_level"];
    Family { about: ABOUT, shape: Shape::Counter, labels, samples: samples.to_vec() }
}

/// When this process started, alone.
#[must_use]
pub fn start_time() -> Option<Family> {
    let started = read_start()?;
    let about = of("process_start_time_seconds", "When this process started, in seconds since 1970.");
    Some(Family::single(about, Shape::Gauge, started))
}

/// Everything that can be found out.
fn process() -> Vec<Family> {
    let stat = stat();
    let ticks = |at: usize| stat.get(at).copied().unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let (received, sent) = octets(&fs::read_to_string("/proc/self/net/netstat").unwrap_or_default());
    let open = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
    let counter = |name, help, value: Option<f64>| Some(Family::single(of(name, help), Shape::Counter, value?));
    let gauge = |name, help, value: Option<f64>| Some(Family::single(of(name, help), Shape::Gauge, value?));
    let cpu = (!stat.is_empty()).then(|| (ticks(11) + ticks(12)) / TICKS_PER_SECOND);
    #[allow(clippy::cast_precision_loss, reason = "a process has few files")]
    let open = open.map(|count| count as f64);
    let found = [
        counter("process_cpu_seconds_total", "CPU time used, of user and system, in seconds.", cpu),
        gauge("process_max_fds", "How many files may be open.", limit(&limits, "Max open files")),
        counter("process_network_receive_bytes_total", "Bytes received over the network.", received),
        counter("process_network_transmit_bytes_total", "Bytes sent over the network.", sent),
        gauge("process_open_fds", "How many files are open.", open),
        gauge("process_resident_memory_bytes", "Memory that is resident, in bytes.", kilobytes(&status, "VmRSS:")),
        gauge("process_virtual_memory_bytes", "Address space in use, in bytes.", kilobytes(&status, "VmSize:")),
        gauge(
            "process_virtual_memory_max_bytes",
            "Address space that may be used, in bytes.",
            limit(&limits, "Max address space"),
        ),
        start_time(),
    ];
    found.into_iter().flatten().collect()
}

const fn of(name: &'static str, help: &'static str) -> About {
    About { name, help, stability: None }
}

/// The numbers of `/proc/self/stat` that follow the name: the first is the state, which is none.
fn stat() -> Vec<f64> {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().map(|word| word.parse().unwrap_or_default()).collect()
}

fn read_start() -> Option<f64> {
    let ticks = *stat().get(19)?;
    let text = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

fn kilobytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|count| count * 1024.0)
}

/// A soft limit; what has none has the greatest number there is.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(18_446_744_073_709_551_615.0),
        number => number.parse().ok(),
    }
}

/// Received and sent bytes: of `IpExt`, whose names stand in the line before its numbers.
fn octets(netstat: &str) -> (Option<f64>, Option<f64>) {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let find = |wanted: &str| {
        let at = names.split_whitespace().position(|name| name == wanted)?;
        values.split_whitespace().nth(at)?.parse().ok()
    };
    (find("InOctets"), find("OutOctets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel() {
        let limits = "Limit     Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\nMax address space    unlimited  unlimited bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(18_446_744_073_709_551_615.0));
        assert_eq!(kilobytes("Name: x\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288.0));
        let netstat = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 7 8\n";
        assert_eq!(octets(netstat), (Some(7.0), Some(8.0)));
    }

    #[test]
    fn this_process() {
        let names: Vec<&str> = process().iter().map(|family| family.about.name).collect();
        for name in ["process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds"] {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
    }
}
