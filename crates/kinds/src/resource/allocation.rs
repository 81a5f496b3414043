//! What a claim got: the status that the scheduler and drivers write.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use super::claim::{MAX_ITEMS, Requests, configuration, raw_object};
use super::{check_list, check_set, name, toleration};
use crate::strategy::immutable;
use crate::validate::metadata::label_name;
use crate::validate::selector::node_selector;
use crate::validate::{conditions, one_of};

const MAX_CONSUMERS: usize = 256;
const MAX_CONDITIONS: usize = 8;
const MAX_BINDING_CONDITIONS: usize = 4;
const MAX_DATA_BYTES: usize = 10 * 1024;
const MAX_INTERFACE_NAME_BYTES: usize = 256;
const MAX_HARDWARE_ADDRESS_BYTES: usize = 128;
const MAX_ADDRESSES: usize = 16;

/// What is wrong with a status.
pub(super) fn check(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let allocation = |claim: &Value| claim.at(&["status", "allocation"]).filter(|value| !value.is_null()).cloned();
    let (now, before) = (allocation(new), allocation(old));
    let consumers = path.child("reservedFor");
    let mut errors = check_set(status.items_at(&["reservedFor"]), MAX_CONSUMERS, &consumers, uid_of, check_consumer);
    let allocated: Vec<Value> = now.iter().flat_map(|a| a.items_at(&["devices", "results"])).map(identity).collect();
    errors.extend(check_set(
        status.items_at(&["devices"]),
        usize::MAX,
        &path.child("devices"),
        identity,
        |one, path| check_device(one, &allocated, path),
    ));
    errors.extend(check_reserved(new, old, now.is_some(), &consumers));
    let field = path.child("allocation");
    match (&now, &before) {
        (Some(now), Some(before)) => {
            let shown = |value| crate::go_shape::shown("io.k8s.api.resource.v1.AllocationResult", value);
            errors.extend(immutable(Some(&shown(now)), Some(&shown(before)), &field));
        }
        (Some(now), None) => {
            let known = Requests::of(new.get("spec").unwrap_or(&Value::Null));
            errors.extend(check_result(now, &known, &field));
        }
        (None, _) => {}
    }
    errors
}

/// A device that the claim has no longer needs no status.
pub(super) fn forget_released(new: &mut Value, old: &Value) {
    let held = |claim: &Value| -> Vec<Value> {
        claim.items_at(&["status", "allocation", "devices", "results"]).iter().map(place).collect()
    };
    let (now, before) = (held(new), held(old));
    let released = |device: &Value| before.contains(&place(device)) && !now.contains(&place(device));
    if let Some(devices) = new.at_mut(&["status", "devices"]).and_then(Value::as_array_mut) {
        devices.retain(|device| !released(device));
    }
    if new.items_at(&["status", "devices"]).is_empty() {
        new.remove_at(&["status", "devices"]);
    }
}

/// Which device a result or a status is about, shares of it aside.
fn place(device: &Value) -> Value {
    Value::Array(["driver", "pool", "device"].map(|field| device.get(field).cloned().unwrap_or_default()).into())
}

fn uid_of(consumer: &Value) -> Value {
    consumer.str_at(&["uid"]).unwrap_or_default().into()
}

/// Which device a result or a status is about, as messages show it.
fn identity(device: &Value) -> Value {
    let part = |field: &str| device.str_at(&[field]).unwrap_or_default();
    value!({"Driver": (part("driver")), "Pool": (part("pool")), "Device": (part("device")), "ShareID": (part("shareID"))})
}

fn check_consumer(consumer: &Value, path: &Path) -> Errors {
    let fields = ["resource", "name", "uid"].into_iter();
    fields.filter_map(|f| crate::validate::required(consumer.str_at(&[f]), &path.child(f), "")).collect()
}

fn check_reserved(new: &Value, old: &Value, allocated: bool, path: &Path) -> Option<Error> {
    let consumers = |claim: &Value| claim.items_at(&["status", "reservedFor"]).to_vec();
    let (now, before) = (consumers(new), consumers(old));
    if now.is_empty() {
        return None;
    }
    if !allocated {
        return Some(Error::forbidden(path, "may not be specified when `allocated` is not set"));
    }
    let added = meta::is_deleting(new) && now.iter().any(|consumer| !before.contains(consumer));
    let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
    added.then(|| Error::forbidden(path, detail))
}

fn check_result(allocation: &Value, known: &Requests<'_>, path: &Path) -> Errors {
    let devices = path.child("devices");
    let results = allocation.items_at(&["devices", "results"]);
    let mut errors = check_list(results, MAX_ITEMS, &devices.child("results"), |result, path| {
        let part = |field: &str| result.str_at(&[field]).unwrap_or_default();
        let mut errors = known.check(part("request"), &path.child("request"));
        errors.extend(name::driver(part("driver"), &path.child("driver")));
        errors.extend(name::pool(part("pool"), &path.child("pool")));
        errors.extend(name::label(part("device"), &path.child("device")));
        errors.extend(binding_conditions(result, path));
        errors.extend(toleration::all(result.items_at(&["tolerations"]), &path.child("tolerations")));
        errors.extend(result.str_at(&["shareID"]).and_then(|uid| name::uid(uid, &path.child("shareID"))));
        errors
    });
    let configurations = allocation.items_at(&["devices", "config"]);
    errors.extend(check_list(configurations, 2 * MAX_ITEMS, &devices.child("config"), |one, path| {
        let mut errors = Errors::new();
        match one.str_at(&["source"]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child("source"), "")),
            source => errors.extend(one_of(source, &["FromClaim", "FromClass"], &path.child("source"))),
        }
        errors.extend(known.check_all(one, &path.child("requests")));
        errors.extend(configuration(one, path));
        errors
    }));
    if let Some(selector) = allocation.get("nodeSelector").filter(|value| !value.is_null()) {
        errors.extend(node_selector(selector, &path.child("nodeSelector")));
    }
    errors
}

/// What is wrong with the conditions that a pod waits for before it is bound (KEP-5007).
pub(super) fn binding_conditions(device: &Value, path: &Path) -> Errors {
    let [ready, failed] = ["bindingConditions", "bindingFailureConditions"].map(|field| device.items_at(&[field]));
    let [ready_path, failed_path] = ["bindingConditions", "bindingFailureConditions"].map(|field| path.child(field));
    let mut errors = Errors::new();
    for (all, path) in [(ready, &ready_path), (failed, &failed_path)] {
        errors.extend(check_list(all, MAX_BINDING_CONDITIONS, path, |name, path| {
            label_name(name.as_str().unwrap_or_default(), path)
        }));
    }
    for (all, path) in [(ready, &ready_path), (failed, &failed_path)] {
        for (i, name) in all.iter().enumerate() {
            if all[..i].contains(name) {
                errors.push(Error::duplicate(&path.index(i), name.clone()));
            }
            if path == &failed_path && ready.contains(name) {
                let detail = "bindingFailureConditions must not overlap with bindingConditions";
                errors.push(Error::invalid(&path.index(i), name.clone(), detail));
            }
        }
    }
    if ready.is_empty() && !failed.is_empty() {
        let detail = "bindingConditions are required to use bindingFailureConditions";
        errors.push(Error::invalid(&ready_path, Value::Null, detail));
    }
    if failed.is_empty() && !ready.is_empty() {
        let detail = "bindingFailureConditions are required to use bindingConditions";
        errors.push(Error::invalid(&failed_path, Value::Null, detail));
    }
    errors
}

fn check_device(device: &Value, allocated: &[Value], path: &Path) -> Errors {
    let part = |field: &str| device.str_at(&[field]).unwrap_or_default();
    let mut errors = name::driver(part("driver"), &path.child("driver"));
    errors.extend(name::pool(part("pool"), &path.child("pool")));
    errors.extend(name::label(part("device"), &path.child("device")));
    errors.extend(device.str_at(&["shareID"]).and_then(|uid| name::uid(uid, &path.child("shareID"))));
    if !allocated.contains(&identity(device)) {
        errors.push(Error::invalid(path, identity(device), "must be an allocated device in the claim"));
    }
    let all = device.items_at(&["conditions"]);
    if all.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(&path.child("conditions"), all.len(), MAX_CONDITIONS));
    }
    errors.extend(conditions::check(all, &path.child("conditions")));
    if let Some(data) = device.get("data").filter(|value| !value.is_null()) {
        errors.extend(raw_object(Some(data), MAX_DATA_BYTES, &path.child("data")));
    }
    if let Some(network) = device.get("networkData").filter(|value| !value.is_null()) {
        errors.extend(check_network(network, &path.child("networkData")));
    }
    errors
}

fn check_network(network: &Value, path: &Path) -> Errors {
    let limits = [("interfaceName", MAX_INTERFACE_NAME_BYTES), ("hardwareAddress", MAX_HARDWARE_ADDRESS_BYTES)];
    let too_long = |(field, most): (&str, usize)| {
        let bytes = network.str_at(&[field]).unwrap_or_default().len();
        (bytes > most).then(|| Error::too_long(&path.child(field), most))
    };
    let mut errors: Errors = limits.into_iter().filter_map(too_long).collect();
    let addresses = network.items_at(&["ips"]);
    errors.extend(check_set(addresses, MAX_ADDRESSES, &path.child("ips"), Value::clone, |address, path| {
        interface_address(address.as_str().unwrap_or_default(), path).into_iter().collect()
    }));
    errors
}

fn interface_address(address: &str, path: &Path) -> Option<Error> {
    let split = address.split_once('/');
    let network = split.and_then(|(ip, bits)| Some((names::parse_ip(ip)?, bits.parse::<u8>().ok()?)));
    let Some((ip, bits)) = network else {
        let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return Some(Error::invalid(path, address, detail));
    };
    let canonical = format!("{ip}/{bits}");
    let detail = format!("must be in canonical form ({})", machinery::field::quote(&canonical));
    (canonical != address).then(|| Error::invalid(path, address, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn released_devices_are_forgotten() {
        let device = |name: &str| value!({"driver": "d", "pool": "p", "device": name});
        let old = value!({"status": {"allocation": {"devices": {"results": [(device("a")), (device("b"))]}}}});
        let mut new = value!({"status": {
            "allocation": {"devices": {"results": [(device("b"))]}}, "devices": [(device("a")), (device("b"))]}});
        forget_released(&mut new, &old);
        assert_eq!(new.items_at(&["status", "devices"]), [device("b")]);
    }

    #[test]
    fn reservations_need_an_allocation() {
        let claim = |status: Value| value!({"spec": {"devices": {"requests": [{"name": "r"}]}}, "status": status});
        let shown = |status: Value| field::aggregate(&check(&claim(status), &claim(value!({}))));
        let result = |request: &str| {
            value!({"allocation": {"devices": {"results": [
                {"request": request, "driver": "d.example.com", "pool": "p", "device": "x"}]}}})
        };
        let shown = [
            shown(value!({"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]})),
            shown(result("zz")),
            shown(result("r")),
            shown(value!({"devices": [{"driver": "d", "pool": "p", "device": "x", "networkData": {"ips": ["10.0.0.1", "010.0.0.1/8"]}}]})),
        ]
        .join("\n");
        expect_test::expect![[r#"
            status.reservedFor: Forbidden: may not be specified when `allocated` is not set
            status.allocation.devices.results[0].request: Invalid value: "zz": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
            []
            [status.devices[0]: Invalid value: {"Driver":"d","Pool":"p","Device":"x","ShareID":""}: must be an allocated device in the claim, status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64), status.devices[0].networkData.ips[1]: Invalid value: "010.0.0.1/8": must be in canonical form ("10.0.0.1/8")]"#]]
        .assert_eq(&shown);
    }
}
