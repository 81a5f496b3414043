//! Pod: containers that run together on one node.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, value};

use crate::kind::{
    ALL_VERBS, BASE, Context, Generation, Kind, MetadataChecks, STATUS, SUBRESOURCE, Selectable, Subresource,
    VIEW_VERBS, keep, path_value,
};
use crate::pod_spec::{self, check};
use crate::table::{AGE, Describe, NAME, text};

pub(crate) mod annotations;
mod container_status;
mod label_keys;
mod qos;
mod row;
mod status;
mod transitions;
mod update;
pub(crate) mod warnings;

pub use qos::qos_class;

const SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.core.v1.PodStatus";
const CONNECT_VERBS: &[&str] = &["create", "get"];
const PROXY_VERBS: &[&str] = &["create", "delete", "get", "patch", "update"];

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Pod",
    plural: "pods",
    short_names: &["po"],
    categories: &["all"],
    storage: "pods",
    schema: "io.k8s.api.core.v1.Pod",
    verbs: ALL_VERBS,
    subresources: &[
        Subresource { name: "attach", body: ("", "v1", "PodAttachOptions"), verbs: CONNECT_VERBS, ..SUBRESOURCE },
        Subresource { name: "binding", body: ("", "v1", "Binding"), verbs: &["create"], ..SUBRESOURCE },
        Subresource {
            name: "ephemeralcontainers",
            verbs: VIEW_VERBS,
            prepare: update::prepare_ephemeral,
            validate: update::validate_ephemeral,
            ..SUBRESOURCE
        },
        Subresource { name: "eviction", body: ("policy", "v1", "Eviction"), verbs: &["create"], ..SUBRESOURCE },
        Subresource { name: "exec", body: ("", "v1", "PodExecOptions"), verbs: CONNECT_VERBS, ..SUBRESOURCE },
        Subresource { name: "log", verbs: &["get"], ..SUBRESOURCE },
        Subresource {
            name: "portforward",
            body: ("", "v1", "PodPortForwardOptions"),
            verbs: CONNECT_VERBS,
            ..SUBRESOURCE
        },
        Subresource { name: "proxy", body: ("", "v1", "PodProxyOptions"), verbs: PROXY_VERBS, ..SUBRESOURCE },
        Subresource {
            name: "resize",
            verbs: VIEW_VERBS,
            prepare: update::resize::prepare,
            validate: update::resize::validate,
            ..SUBRESOURCE
        },
        Subresource { prepare: status::prepare, validate: status::validate, ..STATUS },
    ],
    columns: &[
        NAME,
        text("Ready", Describe::Text("The aggregate readiness state of this pod for accepting traffic.")),
        text("Status", Describe::Text("The aggregate status of the containers in this pod.")),
        text(
            "Restarts",
            Describe::Text(
                "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
            ),
        ),
        AGE,
        text("IP", Describe::Field(STATUS_SCHEMA, "podIP")).wide(),
        text("Node", Describe::Field(SPEC, "nodeName")).wide(),
        text("Nominated Node", Describe::Field(STATUS_SCHEMA, "nominatedNodeName")).wide(),
        text("Readiness Gates", Describe::Field(SPEC, "readinessGates")).wide(),
    ],
    row: row::row,
    row_conditions: row::conditions,
    selectable: FIELDS,
    generation: Generation::Of(&["spec"]),
    grace: Some(grace),
    default,
    prepare_create,
    prepare_update: |new, old, _| keep(new, old, &["status"]),
    validate,
    validate_update: update::validate,
    warnings: warnings::warnings,
    metadata: MetadataChecks::BOTH,
    ..BASE
};

const FIELDS: &[Selectable] = &[
    Selectable { name: "metadata.name", get: |pod| path_value(pod, "metadata.name") },
    Selectable { name: "metadata.namespace", get: |pod| path_value(pod, "metadata.namespace") },
    Selectable { name: "spec.nodeName", get: |pod| path_value(pod, "spec.nodeName") },
    Selectable { name: "spec.restartPolicy", get: |pod| path_value(pod, "spec.restartPolicy") },
    Selectable { name: "spec.schedulerName", get: |pod| path_value(pod, "spec.schedulerName") },
    Selectable { name: "spec.serviceAccountName", get: |pod| path_value(pod, "spec.serviceAccountName") },
    Selectable {
        name: "spec.hostNetwork",
        get: |pod| if pod.bool_at(&["spec", "hostNetwork"]) == Some(true) { "true".into() } else { "false".into() },
    },
    Selectable { name: "status.phase", get: |pod| path_value(pod, "status.phase") },
    Selectable {
        name: "status.podIP",
        get: |pod| {
            let first = pod.items_at(&["status", "podIPs"]).first().and_then(|ip| ip.str_at(&["ip"]));
            first.unwrap_or_default().into()
        },
    },
    Selectable { name: "status.nominatedNodeName", get: |pod| path_value(pod, "status.nominatedNodeName") },
];

fn default(pod: &mut Value) {
    if let Some(spec) = pod.get_mut("spec") {
        pod_spec::default::pod_spec(spec);
        pod_spec::default::pod(spec);
    }
    status::default(pod);
}

fn prepare_create(pod: &mut Value, context: &Context<'_>) {
    let class = qos_class(pod.get("spec").unwrap_or(&Value::Null));
    pod.set_at(&["status"], value!({"phase": "Pending", "qosClass": class}));
    if !pod.items_at(&["spec", "schedulingGates"]).is_empty() {
        let condition = value!({
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": (meta::seconds(context.now)),
        });
        pod.set_at(&["status", "conditions"], Value::Array(vec![condition]));
    }
    if pod.int_at(&["spec", "terminationGracePeriodSeconds"]).is_some_and(|seconds| seconds < 0) {
        pod.set_at(&["spec", "terminationGracePeriodSeconds"], 1);
    }
    app_armor_fields(pod);
    label_keys::resolve(pod);
}

/// The annotations of AppArmor's beta become fields.
fn app_armor_fields(pod: &mut Value) {
    const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
    let annotations = meta::annotations(pod).cloned().unwrap_or_default();
    for (key, profile) in annotations {
        let (Some(name), Some(profile)) = (key.strip_prefix(PREFIX), profile.as_str()) else { continue };
        let field = match profile {
            "unconfined" => value!({"type": "Unconfined"}),
            "runtime/default" => value!({"type": "RuntimeDefault"}),
            _ => match profile.strip_prefix("localhost/") {
                Some(local) => value!({"type": "Localhost", "localhostProfile": local}),
                None => continue,
            },
        };
        for list in ["containers", "initContainers"] {
            let containers = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter(|c| c.str_at(&["name"]) == Some(name)) {
                if container.at(&["securityContext", "appArmorProfile"]).is_none() {
                    container.set_at(&["securityContext", "appArmorProfile"], field.clone());
                }
            }
        }
    }
}

/// A pod that runs nowhere, or no more, ends at once; otherwise what is asked, or what the pod says.
fn grace(pod: &Value, requested: Option<i64>) -> i64 {
    let seconds = requested.or_else(|| pod.int_at(&["spec", "terminationGracePeriodSeconds"])).unwrap_or_default();
    let unbound = pod.str_at(&["spec", "nodeName"]).is_none_or(str::is_empty);
    let ended = matches!(pod.str_at(&["status", "phase"]), Some("Succeeded" | "Failed"));
    if unbound || ended {
        return 0;
    }
    if seconds < 0 { 1 } else { seconds }
}

fn validate(pod: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = metadata_and_spec(pod);
    if !pod.items_at(&["spec", "ephemeralContainers"]).is_empty() {
        errors.push(Error::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    let bound = pod.str_at(&["spec", "nodeName"]).is_some_and(|name| !name.is_empty());
    if bound && !pod.items_at(&["spec", "schedulingGates"]).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(Error::forbidden(&path.child("nodeName"), detail));
    }
    errors.extend(annotations::match_fields(pod, &path));
    errors
}

/// What is wrong with a pod whether it is new or changed.
fn metadata_and_spec(pod: &Value) -> Errors {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = annotations::check(pod, &Path::new("metadata.annotations"));
    errors.extend(check::pod_spec(spec, Some(pod), &path));
    if spec.str_at(&["serviceAccountName"]).is_none_or(str::is_empty) {
        errors.extend(tokens_without_account(spec, &path));
    }
    errors.extend(check::containers::in_pods(spec, &path));
    errors
}

fn tokens_without_account(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, volume) in spec.items_at(&["volumes"]).iter().enumerate() {
        for (j, source) in volume.items_at(&["projected", "sources"]).iter().enumerate() {
            if source.get("serviceAccountToken").is_some_and(|token| !token.is_null()) {
                let source = path.child("volumes").index(i).child("projected.sources").index(j);
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(Error::forbidden(&source.child("serviceAccountToken"), detail));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    fn errors(mut spec: Value) -> String {
        pod_spec::default::pod_spec(&mut spec);
        field::aggregate(&validate(&value!({"spec": spec})))
    }

    #[test]
    fn containers() {
        expect_test::expect!["spec.containers: Required value"].assert_eq(&errors(value!({})));
        expect_test::expect![[r#"spec.containers[1].name: Duplicate value: "c""#]]
            .assert_eq(&errors(value!({"containers": [{"name": "c", "image": "a:1"}, {"name": "c", "image": "x:1"}]})));
        expect_test::expect![[r#"[spec.containers[0].env[0].name: Required value, spec.containers[0].env[1].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '=']"#]]
        .assert_eq(&errors(value!({"containers": [{"name": "c", "image": "a:1", "env": [{"name": "", "value": "x"}, {"name": "a=b"}]}]})));
        expect_test::expect![[r#"spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//8080""#]].assert_eq(&errors(
            value!({"containers": [{"name": "c", "image": "a:1", "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81, "hostPort": 8080}]}]}),
        ));
        expect_test::expect!["spec.containers[0].livenessProbe: Required value: must specify a handler type"]
            .assert_eq(&errors(value!({"containers": [{"name": "c", "image": "a:1", "livenessProbe": {}}]})));
    }

    #[test]
    fn volumes() {
        let spec = value!({
            "containers": [{"name": "c", "image": "a:1"}],
            "volumes": [
                {"name": "v", "persistentVolumeClaim": {}}, {"name": "n", "nfs": {}},
                {"name": "i", "iscsi": {"targetPortal": "x"}},
            ],
        });
        expect_test::expect![[r#"[spec.volumes[0].persistentVolumeClaim.claimName: Required value, spec.volumes[1].nfs.server: Required value, spec.volumes[1].nfs.path: Required value, spec.volumes[1].nfs.path: Invalid value: "": must be an absolute path, spec.volumes[2].iscsi.iqn: Required value]"#]]
        .assert_eq(&errors(spec));
    }

    #[test]
    fn grace_periods() {
        let pod = value!({"spec": {"terminationGracePeriodSeconds": 7, "nodeName": "n"}});
        assert_eq!((grace(&pod, None), grace(&pod, Some(3)), grace(&pod, Some(-1))), (7, 3, 1));
        assert_eq!(grace(&value!({"spec": {"terminationGracePeriodSeconds": 7}}), None), 0);
    }
}
