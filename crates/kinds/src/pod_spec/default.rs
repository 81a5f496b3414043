//! What absent fields of a pod spec mean.

use machinery::{Object, Quantity, Value, value};

/// The lists of containers that a pod spec has.
pub const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Files of secrets, config maps and the like may be read by everyone and written by their owner.
const FILE_MODE: i64 = 0o644;

/// Fills in the pod template below `parents`; there is always one, as there is always a spec in it.
pub fn template(object: &mut Value, parents: &[&str]) {
    set_in(object, parents, "template", Value::object);
    let Some(template) = object.at_mut(parents).and_then(|parent| parent.get_mut("template")) else { return };
    set_in(template, &[], "metadata", Value::object);
    set_in(template, &[], "spec", Value::object);
    template.get_mut("spec").into_iter().for_each(pod_spec);
}

/// Fills in a pod spec as a template has it.
pub fn pod_spec(spec: &mut Value) {
    super::gated::drop_fields(spec);
    let Some(fields) = spec.as_object_mut() else { return };
    set(fields, "dnsPolicy", || "ClusterFirst".into());
    set(fields, "restartPolicy", || "Always".into());
    set(fields, "securityContext", Value::object);
    set(fields, "terminationGracePeriodSeconds", || Value::Int(30));
    set(fields, "schedulerName", || "default-scheduler".into());
    service_account(fields);
    each(spec, &["volumes"], volume);
    for list in CONTAINER_LISTS {
        each(spec, &[list], container);
    }
}

/// Fills in what only a pod has, not a template: host ports, requests from limits, service links.
pub fn pod(spec: &mut Value) {
    if spec.bool_at(&["hostNetwork"]) == Some(true) {
        for list in ["containers", "initContainers"] {
            each(spec, &[list], host_ports);
        }
    }
    for list in ["containers", "initContainers"] {
        each(spec, &[list], requests_from_limits);
    }
    pod_requests(spec);
    if let Some(fields) = spec.as_object_mut() {
        set(fields, "enableServiceLinks", || Value::Bool(true));
    }
}

/// Runs `change` on every item of the list at `path`.
pub fn each(object: &mut Value, path: &[&str], change: fn(&mut Value)) {
    object.at_mut(path).and_then(Value::as_array_mut).into_iter().flatten().for_each(change);
}

/// Sets `field` unless it has a value; an empty text is none.
pub fn set(fields: &mut Object, field: &str, value: impl FnOnce() -> Value) {
    let absent = match fields.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if absent {
        fields.insert(field, value());
    }
}

/// Sets the field at `path` unless it is there; an empty text counts as one, as for fields that are pointers in Go.
pub fn set_absent(object: &mut Value, parents: &[&str], field: &str, value: impl FnOnce() -> Value) {
    if let Some(fields) = object.at_mut(parents).and_then(Value::as_object_mut)
        && fields.get(field).is_none_or(Value::is_null)
    {
        fields.insert(field, value());
    }
}

/// Sets the field at `path` unless it has a value; the parents must be there.
pub fn set_in(object: &mut Value, parents: &[&str], field: &str, value: impl FnOnce() -> Value) {
    if let Some(fields) = object.at_mut(parents).and_then(Value::as_object_mut) {
        set(fields, field, value);
    }
}

/// The tag of an image name, `latest` when there is neither tag nor digest.
#[must_use]
pub fn image_tag(image: &str) -> &str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or_default();
    match (last.split_once(':'), digest) {
        (Some((_, tag)), _) => tag,
        (None, Some(_)) => "",
        (None, None) if name.is_empty() || name.bytes().any(|b| b.is_ascii_whitespace()) => "",
        (None, None) => "latest",
    }
}

/// The old name of the field and the new one say the same.
fn service_account(spec: &mut Object) {
    let name = ["serviceAccountName", "serviceAccount"]
        .into_iter()
        .filter_map(|field| spec.get(field)?.as_str())
        .find(|name| !name.is_empty())
        .map(ToOwned::to_owned);
    if let Some(name) = name {
        spec.insert("serviceAccountName", name.as_str());
        spec.insert("serviceAccount", name);
    }
}

fn host_ports(container: &mut Value) {
    each(container, &["ports"], |port| {
        if port.int_at(&["hostPort"]).unwrap_or_default() == 0
            && let Some(number) = port.int_at(&["containerPort"])
        {
            port.set_at(&["hostPort"], number);
        }
    });
}

/// What is not pinned to a version is asked for anew.
fn pull_policy(image: &str) -> &'static str {
    if image_tag(image) == "latest" { "Always" } else { "IfNotPresent" }
}

fn container(container: &mut Value) {
    let policy = pull_policy(container.str_at(&["image"]).unwrap_or_default());
    let Some(fields) = container.as_object_mut() else { return };
    set(fields, "imagePullPolicy", || policy.into());
    set(fields, "terminationMessagePath", || "/dev/termination-log".into());
    set(fields, "terminationMessagePolicy", || "File".into());
    set(fields, "resources", Value::object);
    each(container, &["ports"], |port| set_in(port, &[], "protocol", || "TCP".into()));
    each(container, &["env"], |env| field_reference(env, &["valueFrom", "fieldRef"]));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            self::probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        http_get(container, &["lifecycle", hook, "httpGet"]);
    }
    for list in ["limits", "requests"] {
        resource_list(container.at_mut(&["resources", list]));
    }
}

/// Rounds amounts up to thousandths.
pub fn resource_list(list: Option<&mut Value>) {
    for (_, amount) in list.and_then(Value::as_object_mut).into_iter().flat_map(Object::iter_mut) {
        if let Some(parsed) = amount.as_str().and_then(|text| Quantity::parse(text).ok()) {
            let rounded = Quantity::from_milli(parsed.milli_value(), parsed.format());
            // Amounts near the end of 64 bits stay: their thousandths do not fit.
            let exact = if parsed.milli_value() == i64::MAX { parsed } else { rounded };
            *amount = exact.to_string().into();
        }
    }
}

fn probe(probe: &mut Value) {
    for (field, number) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.int_at(&[field]).unwrap_or_default() == 0 {
            probe.set_at(&[field], number);
        }
    }
    http_get(probe, &["httpGet"]);
    if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut)
        && !grpc.contains_key("service")
    {
        grpc.insert("service", "");
    }
}

fn http_get(object: &mut Value, path: &[&str]) {
    set_in(object, path, "path", || "/".into());
    set_in(object, path, "scheme", || "HTTP".into());
}

fn field_reference(object: &mut Value, path: &[&str]) {
    set_in(object, path, "apiVersion", || "v1".into());
}

fn volume(volume: &mut Value) {
    let Some(fields) = volume.as_object_mut() else { return };
    if !fields.keys().any(|name| name != "name") {
        fields.insert("emptyDir", Value::object());
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        set_in(volume, &[source], "defaultMode", || Value::Int(FILE_MODE));
    }
    each(volume, &["downwardAPI", "items"], |item| field_reference(item, &["fieldRef"]));
    each(volume, &["projected", "sources"], |source| {
        each(source, &["downwardAPI", "items"], |item| field_reference(item, &["fieldRef"]));
        set_in(source, &["serviceAccountToken"], "expirationSeconds", || Value::Int(3600));
    });
    if let Some(host_path) = volume.get_mut("hostPath").and_then(Value::as_object_mut)
        && !host_path.contains_key("type")
    {
        host_path.insert("type", "");
    }
    network_volume(volume);
    let policy = pull_policy(volume.str_at(&["image", "reference"]).unwrap_or_default());
    set_in(volume, &["image"], "pullPolicy", || policy.into());
    set_absent(volume, &["ephemeral", "volumeClaimTemplate", "spec"], "volumeMode", || "Filesystem".into());
}

/// Fills in the volume sources that pods and persistent volumes share.
pub fn network_volume(volume: &mut Value) {
    let texts = [
        ("iscsi", "iscsiInterface", "default"),
        ("rbd", "pool", "rbd"),
        ("rbd", "user", "admin"),
        ("rbd", "keyring", "/etc/ceph/keyring"),
        ("scaleIO", "storageMode", "ThinProvisioned"),
        ("scaleIO", "fsType", "xfs"),
    ];
    for (source, field, text) in texts {
        set_in(volume, &[source], field, || text.into());
    }
    for (field, text) in [("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")] {
        set_absent(volume, &["azureDisk"], field, || text.into());
    }
    set_absent(volume, &["azureDisk"], "readOnly", || Value::Bool(false));
}

fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container.at(&["resources", "limits"]).and_then(Value::as_object).cloned() else { return };
    for (name, amount) in limits {
        if container.at(&["resources", "requests", &name]).is_none() {
            container.set_at(&["resources", "requests", &name], amount);
        }
    }
}

/// Requests of the whole pod (KEP-2837): the sum of the containers' where they have some, else the pod's limit.
fn pod_requests(spec: &mut Value) {
    if spec.at(&["resources"]).and_then(Value::as_object).is_none_or(Object::is_empty) {
        return;
    }
    let sums = crate::pod_spec::total_requests(spec);
    let limits = spec.at(&["resources", "limits"]).cloned().unwrap_or_else(|| value!({}));
    let defaults = sums.into_iter().map(|(name, amount)| (name, Value::from(amount.to_string())));
    let limits = limits.as_object().cloned().unwrap_or_default();
    for (name, amount) in defaults.chain(limits) {
        let supported = matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-");
        if supported && spec.at(&["resources", "requests", &name]).is_none() {
            spec.set_at(&["resources", "requests", &name], amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_upstream_does() {
        let mut spec = value!({
            "containers": [{
                "name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "resources": {"limits": {"cpu": "1"}},
            }],
            "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}],
            "serviceAccount": "sa",
        });
        pod_spec(&mut spec);
        pod(&mut spec);
        expect_test::expect![[r#"{"containers":[{"name":"c","image":"nginx","ports":[{"containerPort":80,"protocol":"TCP"}],"livenessProbe":{"httpGet":{"port":80,"path":"/","scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1"}},"imagePullPolicy":"Always","terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"volumes":[{"name":"v","emptyDir":{}},{"name":"s","secret":{"secretName":"x","defaultMode":420}}],"serviceAccount":"sa","dnsPolicy":"ClusterFirst","restartPolicy":"Always","securityContext":{},"terminationGracePeriodSeconds":30,"schedulerName":"default-scheduler","serviceAccountName":"sa","enableServiceLinks":true}"#]]
        .assert_eq(&serde_json::to_string(&spec).unwrap());
    }

    #[test]
    fn tags() {
        let tags = ["nginx", "nginx:1", "r.io:5000/nginx", "r.io:5000/nginx:latest", "nginx@sha256:ab", ""];
        assert_eq!(tags.map(image_tag), ["latest", "1", "latest", "latest", "", ""]);
    }
}
