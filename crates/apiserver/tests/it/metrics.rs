//! Names, types, labels and stability of all metrics are upstream's.

use std::collections::BTreeMap;

use base::metrics::{Family, Stability};
use http_body_util::BodyExt as _;

use crate::world::World;

/// What a fresh server of upstream shows; see `cargo xtask codegen`.
const UPSTREAM: &str = include_str!("metrics.txt");

/// Families that upstream shows only when something has happened, with their types and labels.
const LATER: &str = "\
apiserver_clusterip_repair_ip_errors_total counter type
apiserver_clusterip_repair_reconcile_errors_total counter
apiserver_flowcontrol_current_inqueue_requests gauge flow_schema,priority_level
apiserver_flowcontrol_nominal_limit_seats gauge priority_level
apiserver_flowcontrol_rejected_requests_total counter flow_schema,priority_level,reason
apiserver_flowcontrol_request_wait_duration_seconds histogram execute,flow_schema,priority_level
apiserver_nodeport_repair_port_errors_total counter type
etcd_request_errors_total counter group,operation,resource
kube_apiserver_clusterip_allocator_allocation_errors_total counter cidr,scope
kube_apiserver_nodeport_allocator_allocation_errors_total counter scope
kube_apiserver_nodeport_allocator_allocation_total counter scope
";

const STABLE: [&str; 12] = [
    "apiserver_admission_controller_admission_duration_seconds",
    "apiserver_admission_step_admission_duration_seconds",
    "apiserver_current_inflight_requests",
    "apiserver_longrunning_requests",
    "apiserver_request_duration_seconds",
    "apiserver_request_total",
    "apiserver_requested_deprecated_apis",
    "apiserver_response_sizes",
    "apiserver_storage_objects",
    "apiserver_storage_size_bytes",
    "kubernetes_healthcheck",
    "kubernetes_healthchecks_total",
];

const BETA: [&str; 8] = [
    "apiserver_flowcontrol_current_executing_requests",
    "apiserver_flowcontrol_current_executing_seats",
    "apiserver_flowcontrol_current_inqueue_requests",
    "apiserver_flowcontrol_dispatched_requests_total",
    "apiserver_flowcontrol_nominal_limit_seats",
    "apiserver_flowcontrol_rejected_requests_total",
    "apiserver_flowcontrol_request_wait_duration_seconds",
    "registered_metrics_total",
];

fn line(family: &Family) -> String {
    let labels = if family.about.name.ends_with("_summary") {
        let mut labels = family.labels.clone();
        labels.push("quantile");
        labels.sort_unstable();
        labels
    } else {
        family.labels.clone()
    };
    format!("{} {} {}", family.about.name, family.shape.word(), labels.join(",")).trim_end().to_owned()
}

#[tokio::test(start_paused = true)]
async fn all_families_are_upstreams() {
    let world = World::new().await;
    let lines = UPSTREAM.lines().chain(LATER.lines()).filter(|line| !line.starts_with('#'));
    let known: BTreeMap<&str, &str> = lines.map(|line| (line.split(' ').next().unwrap(), line)).collect();
    let families = world.families();
    assert!(families.len() > 80, "{}", families.len());
    let mut wrong = Vec::new();
    for family in &families {
        let (name, shown) = (family.about.name, line(family));
        if known.get(name).copied() != Some(shown.as_str()) {
            wrong.push(format!("ours:     {shown}\nupstream: {}", known.get(name).unwrap_or(&"-")));
        }
        let wanted = match name {
            _ if name.starts_with("process_") => None,
            _ if STABLE.contains(&name) => Some(Stability::Stable),
            _ if BETA.contains(&name) => Some(Stability::Beta),
            _ => Some(Stability::Alpha),
        };
        if family.about.stability != wanted {
            wrong.push(format!("{name} is {:?}, not {wanted:?}", family.about.stability));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_counted() {
    let world = World::new().await;
    world.play("POST cm {\"metadata\":{\"name\":\"a\"}}\nPUT cm/a {\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}\nGET cm\nDELETE cm/a").await;
    world.get("/readyz", &[]).await.into_body();
    world
        .send("POST", "/api/v1/namespaces/default/pods?dryRun=All", "application/json", "{}")
        .await
        .collect()
        .await
        .unwrap();
    let mut shown = Vec::new();
    for family in world.families() {
        for sample in &family.samples {
            let count = match &sample.value {
                base::metrics::Value::Number(number) => *number,
                #[allow(clippy::cast_precision_loss, reason = "there are few")]
                base::metrics::Value::Histogram { count, .. } | base::metrics::Value::Summary { count, .. } => {
                    *count as f64
                }
            };
            let labels: Vec<&str> =
                sample.labels.iter().map(String::as_str).filter(|label| !label.is_empty()).collect();
            let of_interest = labels.contains(&"configmaps")
                || labels.contains(&"pods") && labels.contains(&"All")
                || labels.contains(&"success")
                || labels.contains(&"allowed");
            if of_interest
                && count > 0.0
                && !family.about.name.contains("version")
                && !family.about.name.contains("size")
            {
                shown.push(format!("{} {} {count}", family.about.name, labels.join(",")));
            }
        }
    }
    expect_test::expect![[r#"
        apiserver_request_total 200,apiserver,configmaps,namespace,LIST,v1 1
        apiserver_request_total 200,apiserver,configmaps,resource,DELETE,v1 1
        apiserver_request_total 200,apiserver,configmaps,resource,PUT,v1 1
        apiserver_request_total 201,apiserver,configmaps,resource,POST,v1 1
        apiserver_request_total 404,apiserver,All,pods,resource,POST,v1 1
        apiserver_request_duration_seconds apiserver,configmaps,namespace,LIST,v1 1
        apiserver_request_duration_seconds apiserver,configmaps,resource,DELETE,v1 1
        apiserver_request_duration_seconds apiserver,configmaps,resource,POST,v1 1
        apiserver_request_duration_seconds apiserver,configmaps,resource,PUT,v1 1
        apiserver_request_duration_seconds apiserver,All,pods,resource,POST,v1 1
        apiserver_request_sli_duration_seconds apiserver,configmaps,namespace,LIST,v1 1
        apiserver_request_sli_duration_seconds apiserver,configmaps,resource,DELETE,v1 1
        apiserver_request_sli_duration_seconds apiserver,configmaps,resource,POST,v1 1
        apiserver_request_sli_duration_seconds apiserver,configmaps,resource,PUT,v1 1
        authentication_attempts success 7
        authentication_duration_seconds success 7
        authorization_attempts_total allowed 7
        authorization_duration_seconds allowed 7
        etcd_requests_total create,configmaps 1
        etcd_requests_total delete,configmaps 1
        etcd_requests_total get,configmaps 2
        etcd_requests_total update,configmaps 1
        etcd_request_duration_seconds create,configmaps 1
        etcd_request_duration_seconds delete,configmaps 1
        etcd_request_duration_seconds get,configmaps 2
        etcd_request_duration_seconds update,configmaps 1
        apiserver_storage_events_received_total configmaps 3
        apiserver_watch_cache_events_received_total configmaps 3
        apiserver_watch_cache_events_dispatched_total configmaps 3
        apiserver_watch_cache_initializations_total configmaps 1
        apiserver_watch_cache_consistent_read_total false,configmaps,true 1
        apiserver_watch_cache_read_wait_seconds configmaps 1
        apiserver_cache_list_total configmaps 1
        apiserver_cache_list_fetched_objects_total configmaps 1
        apiserver_cache_list_returned_objects_total configmaps 1
        apiserver_storage_list_total configmaps 1"#]]
    .assert_eq(&shown.join("\n"));
}
