//! What the machine is: processors, memory, disk, system, addresses.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use crate::directories::Directories;

/// The machine, looked at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) cpus: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) huge_page_sizes: Vec<(String, u64)>,
    pub(crate) machine_id: String,
    pub(crate) system_uuid: String,
    pub(crate) boot_id: String,
    pub(crate) kernel_version: String,
    pub(crate) os_image: String,
    pub(crate) runtime_version: String,
}

impl Facts {
    pub(crate) fn gather(directories: &Directories) -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            memory_bytes: memory(&read("/proc/meminfo")),
            disk_bytes: disk(&directories.root),
            huge_page_sizes: huge_pages(),
            machine_id: first_line(&read("/etc/machine-id")),
            system_uuid: first_line(&read("/sys/class/dmi/id/product_uuid")),
            boot_id: first_line(&read("/proc/sys/kernel/random/boot_id")),
            kernel_version: first_line(&read("/proc/sys/kernel/osrelease")),
            os_image: os_image(&read("/etc/os-release")),
            ..Self::default()
        }
    }
}

/// The machine's host name, as nodes are named.
pub(crate) fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_default().trim().to_lowercase()
}

/// The address by which the machine reaches others. Nothing is sent to find it out.
pub(crate) fn addresses() -> Option<Vec<IpAddr>> {
    let towards = |target: &str, bind: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(target).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
    };
    let found = towards("192.0.2.1:9", "0.0.0.0:0").or_else(|| towards("[2001:db8::1]:9", "[::]:0"));
    found.map(|ip| vec![ip])
}

fn memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn disk(path: &Path) -> u64 {
    nix::sys::statvfs::statvfs(path).map_or(0, |fs| fs.blocks() * fs.fragment_size())
}

/// Sizes in Kubernetes' words with the bytes set aside for each.
fn huge_pages() -> Vec<(String, u64)> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let count: u64 = first_line(&std::fs::read_to_string(entry.path().join("nr_hugepages")).ok()?).parse().ok()?;
        let name = if kib >= 1 << 20 {
            format!("{}Gi", kib >> 20)
        } else if kib >= 1 << 10 {
            format!("{}Mi", kib >> 10)
        } else {
            format!("{kib}Ki")
        };
        Some((format!("hugepages-{name}"), count * kib * 1024))
    };
    entries.filter_map(size).collect()
}

fn os_image(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map(|name| name.trim_matches('"').to_owned()).unwrap_or_default()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}
