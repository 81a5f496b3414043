//! Prints what 10,000 Services cost: the first load into the kernel, and one endpoint that changes.
//!
//! `cargo run --release -p proxy --example load [SERVICES]`, as root. It works in a network namespace of its own, which
//! goes away with it.

use std::sync::Arc;

use base::Clock;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proxy::{Doors, Family, Place, Services, Setting, apply, diff, forget_connections, load, refresh, rules};
use serde_json::json;

const CHANGES: u32 = 50;

fn service(number: usize) -> Service {
    let ip = format!("10.{}.{}.{}", 96 + number / 65_536, number / 256 % 256, number % 256);
    let object = json!({
        "metadata": {"name": format!("s{number}"), "namespace": "default"},
        "spec": {"clusterIP": ip, "ports": [{"name": "p", "port": 80, "protocol": "TCP"}]},
    });
    serde_json::from_value(object).expect("a well-formed Service")
}

fn slice(number: usize, last: u32) -> EndpointSlice {
    let ip = |n: usize| format!("10.{}.{}.{}", 128 + n / 65_536, n / 256 % 256, n % 256);
    let object = json!({
        "metadata": {"name": format!("s{number}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": format!("s{number}")}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip(number * 2)]}, {"addresses": [ip(number * 2 + 1)]}, {"addresses": [format!("10.200.0.{last}")]}],
        "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
    });
    serde_json::from_value(object).expect("a well-formed slice")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    let clock = Clock::system();
    let setting = Setting {
        place: Place { node: "n1".into(), zone: None },
        families: vec![Family::V4],
        cluster_cidrs: vec!["10.244.0.0/16".parse()?],
        masquerade_all: false,
        masquerade_mark: 0x4000,
        nodeport_addresses: vec!["192.168.0.1/32".parse()?],
    };
    let mut services = Services::new(setting);
    for number in 0..count {
        services.set_service(&format!("default/s{number}").into(), Some(Arc::new(service(number))));
        services.set_slice(&format!("default/s{number}-1").into(), None, Some(Arc::new(slice(number, 1))));
    }
    services.take_dirty();
    let start = clock.instant();
    let mut installed = rules(&services);
    let transaction = load(&installed);
    let planned = clock.instant() - start;
    let text_bytes = transaction.to_string().len();
    apply(&transaction).await?;
    println!("{count} Services, {} endpoints", count * 3);
    println!(
        "first load: plan {planned:?}, in the kernel after {:?} ({text_bytes} bytes of nft)",
        clock.instant() - start
    );

    let (mut plan, mut act) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    for change in 0..CHANGES {
        services.set_slice(&"default/s77-1".into(), None, Some(Arc::new(slice(77, 2 + change))));
        let start = clock.instant();
        let dirty = services.take_dirty();
        let next = refresh(&services, &installed, &dirty);
        let transaction = diff(&installed, &next);
        let doors = Doors::changed(&installed, &next);
        plan += clock.instant() - start;
        apply(&transaction).await?;
        forget_connections(&doors)?;
        act += clock.instant() - start;
        if change == 0 {
            print!("{transaction}");
        }
        installed.commit(next);
    }
    println!(
        "one endpoint changes (mean of {CHANGES}): plan {:?}, in the kernel after {:?}",
        plan / CHANGES,
        act / CHANGES
    );
    Ok(())
}
