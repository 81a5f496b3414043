//! DenyServiceExternalIPs: nobody takes over an address by `spec.externalIPs` (CVE-2020-8554). Off by default.

use machinery::{Status, Value};

use super::{Context, Operation, Plugin, Request};

pub const PLUGIN: Plugin = Plugin { name: "DenyServiceExternalIPs", admit: None, validate: Some(validate) };

/// Addresses that were there before stay.
fn validate(request: &mut Request<'_>, _: &Context<'_>) -> Result<(), Status> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if !writes || !request.is("", "services") {
        return Ok(());
    }
    let of = |service: &Value| service.items_at(&["spec", "externalIPs"]).to_vec();
    let old = request.old.map(of).unwrap_or_default();
    if of(request.object).iter().all(|address| old.contains(address)) {
        return Ok(());
    }
    Err(request.forbidden("Use of external IPs is denied by admission control."))
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::testing::{ask, request};
    use super::*;

    #[test]
    fn only_old_addresses_stay() {
        let service = |ips: Value| value!({"metadata": {"name": "s"}, "spec": {"externalIPs": ips}});
        let user = crate::User::default();
        let check = |operation, new: Value, old: Option<&Value>| {
            let mut new = service(new);
            let mut request = request(operation, ("", "services"), &mut new, old, &user);
            ask(&PLUGIN, &mut request, &super::super::Objects::default()).starts_with('{')
        };
        let old = service(value!(["1.1.1.1", "2.2.2.2"]));
        assert!(check(Operation::Create, value!([]), None));
        assert!(!check(Operation::Create, value!(["1.1.1.1"]), None));
        assert!(check(Operation::Update, value!(["1.1.1.1"]), Some(&old)));
        assert!(!check(Operation::Update, value!(["3.3.3.3"]), Some(&old)));
    }
}
